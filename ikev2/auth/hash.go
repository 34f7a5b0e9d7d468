package auth

import (
	"crypto"
	_ "crypto/sha1" // of the methods before RFC 7427
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/binary"
	"fmt"

	"mipsecd/ikev2/wire"
)

// Hash is a hash algorithm in the numbers of RFC 7427 section 7.
type Hash uint16

// The hash algorithms of RFC 7427 section 7 and RFC 8420 section 2. Identity is none: the signature algorithm takes the
// message as it is.
const (
	SHA1     Hash = 1
	SHA256   Hash = 2
	SHA384   Hash = 3
	SHA512   Hash = 4
	Identity Hash = 5
)

// offered are the hash algorithms that a peer may sign with by RFC 7427. SHA-1 is none (RFC 8247 section 3.2).
var offered = []Hash{SHA256, SHA384, SHA512, Identity}

var hashes = map[Hash]struct {
	name string
	hash crypto.Hash // zero is the identity, as crypto.Signer has it
}{
	SHA1: {"SHA-1", crypto.SHA1}, SHA256: {"SHA-256", crypto.SHA256}, SHA384: {"SHA-384", crypto.SHA384},
	SHA512: {"SHA-512", crypto.SHA512}, Identity: {"Identity", 0},
}

// String is the algorithm's name, or its number.
func (h Hash) String() string {
	if known, ok := hashes[h]; ok {
		return known.name
	}
	return fmt.Sprintf("hash algorithm %d", uint16(h))
}

// sum is the digest of a message.
func (h Hash) sum(message []byte) []byte {
	if h == Identity {
		return message
	}
	d := hashes[h].hash.New()
	d.Write(message)
	return d.Sum(nil)
}

// HashNotify is the notification SIGNATURE_HASH_ALGORITHMS with what this host takes (RFC 7427 section 4).
func HashNotify() *wire.Notify {
	n := &wire.Notify{Kind: wire.NotifySignatureHashAlgorithms}
	for _, h := range offered {
		n.Data = binary.BigEndian.AppendUint16(n.Data, uint16(h))
	}
	return n
}

// HashesOf is what the peer takes by the notification SIGNATURE_HASH_ALGORITHMS; nil if it has not sent one. What is not
// a whole number at its end is passed over.
func HashesOf(ps []wire.Payload) []Hash {
	n := wire.FindNotify(ps, wire.NotifySignatureHashAlgorithms)
	if n == nil {
		return nil
	}
	list := make([]Hash, len(n.Data)/2)
	for i := range list {
		list[i] = Hash(binary.BigEndian.Uint16(n.Data[2*i:]))
	}
	return list
}
