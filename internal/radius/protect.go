package radius

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"

	"mipsecd/internal/secret"
)

// sealed is a request in octets, with its Message-Authenticator (RFC 3579 section 3.2) as the first attribute: nothing that
// a forger could choose is before it.
func (p *packet) sealed(key secret.Bytes) []byte {
	p.attributes = append([]attribute{{messageAuthenticator, make([]byte, md5.Size)}}, p.attributes...)
	b := p.marshal()
	copy(b[headerLen+2:], authenticate(key, b))
	return b
}

func authenticate(key secret.Bytes, packet []byte) []byte {
	mac := hmac.New(md5.New, key)
	mac.Write(packet)
	return mac.Sum(nil)
}

// open reads the answer to a request and holds that one who has the secret made it for that request: by the Response
// Authenticator (RFC 2865 section 3), and by the Message-Authenticator, without which that can be forged.
func open(b []byte, request *packet, key secret.Bytes) (*packet, error) {
	p, err := parse(b)
	if err != nil {
		return nil, err
	}
	if p.id != request.id {
		return nil, fmt.Errorf("it is the answer to request %d; want %d", p.id, request.id)
	}
	b = append([]byte(nil), b[:binary.BigEndian.Uint16(b[2:])]...)
	copy(b[4:], request.authenticator[:])
	h := md5.New()
	h.Write(b)
	h.Write(key)
	if subtle.ConstantTimeCompare(h.Sum(nil), p.authenticator[:]) != 1 {
		return nil, errors.New("the Response Authenticator is wrong; want the same secret on both sides")
	}
	claim, ok, err := p.one(messageAuthenticator)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, errors.New("no Message-Authenticator; want a server that sends it")
	case len(claim) != md5.Size:
		return nil, fmt.Errorf("a Message-Authenticator of %d octets; want %d", len(claim), md5.Size)
	}
	blank(b)
	if subtle.ConstantTimeCompare(authenticate(key, b), claim) != 1 {
		return nil, errors.New("the Message-Authenticator is wrong")
	}
	return p, nil
}

// blank overwrites the Message-Authenticator of a packet that has been parsed with zeros.
func blank(b []byte) {
	for a := b[headerLen:]; len(a) > 0; a = a[a[1]:] {
		if kind(a[0]) == messageAuthenticator {
			clear(a[2:a[1]])
		}
	}
}

// Vendor-specific attributes of Microsoft with the two halves of the MSK (RFC 2548 sections 2.4.2 and 2.4.3).
const (
	microsoft   = 311
	mppeSendKey = 16
	mppeRecvKey = 17
)

// mppeKey decrypts one of the keys; nil if there is none. Its layout is that of RFC 2548 section 2.4.2.
func (p *packet) mppeKey(which byte, request *packet, key secret.Bytes) (secret.Bytes, error) {
	for _, v := range p.all(vendorSpecific) {
		if len(v) < 6 || binary.BigEndian.Uint32(v) != microsoft || v[4] != which || int(v[5]) != len(v)-4 {
			continue
		}
		salted := v[6:]
		if len(salted) < 2+md5.Size || (len(salted)-2)%md5.Size != 0 {
			return nil, fmt.Errorf("an MS-MPPE key of %d octets; want 2 and a multiple of %d", len(salted), md5.Size)
		}
		clear := unhide(salted, request.authenticator[:], key)
		if n := int(clear[0]); n < len(clear) {
			return clear[1 : 1+n], nil
		}
		return nil, errors.New("an MS-MPPE key that is longer than its attribute")
	}
	return nil, nil
}

func unhide(salted, authenticator []byte, key secret.Bytes) secret.Bytes {
	h := md5.New()
	h.Write(key)
	h.Write(authenticator)
	h.Write(salted[:2])
	var clear secret.Bytes
	for hidden := salted[2:]; len(hidden) > 0; hidden = hidden[md5.Size:] {
		pad := h.Sum(nil)
		subtle.XORBytes(pad, pad, hidden)
		clear = append(clear, pad...)
		h.Reset()
		h.Write(key)
		h.Write(hidden[:md5.Size])
	}
	return clear
}
