package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// ParseCertificates reads certificates in PEM, at least one.
func ParseCertificates(text []byte) ([]*x509.Certificate, error) {
	return parsePEM(text, "CERTIFICATE", x509.ParseCertificate)
}

// ParseRevocationLists reads revocation lists in PEM, or one in DER, as authorities publish it.
func ParseRevocationLists(data []byte) ([]*x509.RevocationList, error) {
	if l, err := x509.ParseRevocationList(data); err == nil {
		return []*x509.RevocationList{l}, nil
	}
	return parsePEM(data, "X509 CRL", x509.ParseRevocationList)
}

// parsePEM reads blocks of one type, at least one and no others.
func parsePEM[T any](text []byte, kind string, parse func([]byte) (T, error)) (list []T, err error) {
	err = blocks(text, func(b *pem.Block) error {
		if b.Type != kind {
			return fmt.Errorf("%q in it; want %q only", b.Type, kind)
		}
		v, err := parse(b.Bytes)
		list = append(list, v)
		return err
	})
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("no %q in it; want PEM", kind)
	}
	return list, err
}

// blocks goes through the blocks of a PEM file.
func blocks(text []byte, each func(*pem.Block) error) error {
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			break
		}
		if err := each(b); err != nil {
			return err
		}
	}
	if bytes.Contains(text, []byte("-----BEGIN")) {
		return errors.New("a PEM block without a proper end")
	}
	return nil
}

// ParsePrivateKey reads the one private key of a PEM file, in the form of PKCS#8, PKCS#1 or SEC 1, not encrypted. Errors
// hold nothing of it.
func ParsePrivateKey(text []byte) (crypto.Signer, error) {
	var keys []any
	err := blocks(text, func(b *pem.Block) error {
		var key any
		var err error
		if b.Type == "ENCRYPTED PRIVATE KEY" || b.Headers["DEK-Info"] != "" {
			return errEncrypted
		}
		switch b.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(b.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(b.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(b.Bytes)
		case "EC PARAMETERS":
			return nil // that openssl writes before the key
		default:
			return fmt.Errorf("%q in it; want a private key", b.Type)
		}
		if err != nil {
			return fmt.Errorf("the %q in it can't be read", b.Type)
		}
		keys = append(keys, key)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(keys) != 1 {
		return nil, fmt.Errorf("%d private keys in it; want one, in PEM", len(keys))
	}
	return signing(keys[0])
}

// signing is a private key that signs.
func signing(key any) (crypto.Signer, error) {
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return key, nil
	case *ecdsa.PrivateKey:
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, fmt.Errorf("a private key of kind %T; want RSA, ECDSA or Ed25519", key)
}

// errEncrypted says what to do with a key that would need a password.
var errEncrypted = errors.New("the private key is encrypted; want it decrypted, by openssl pkey -in FILE -out NEW, or in a " +
	"PKCS#12 file with its password beside it")
