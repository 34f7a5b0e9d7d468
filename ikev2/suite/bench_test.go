package suite

import (
	"slices"
	"testing"

	"mipsecd/spd"
)

func BenchmarkKeyExchange(b *testing.B) {
	for _, g := range slices.Concat(allGroups, kems) {
		k := generate(b, g, seeded(1))
		peer, _, err := AnswerKE(g, seeded(2), k.Public())
		if err != nil {
			b.Fatal(err)
		}
		b.Run(g.String()+"/initiator", func(b *testing.B) {
			rnd := seeded(3)
			for b.Loop() {
				generate(b, g, rnd)
				if _, err := k.Shared(peer); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(g.String()+"/responder", func(b *testing.B) {
			rnd := seeded(3)
			for b.Loop() {
				if _, _, err := AnswerKE(g, rnd, k.Public()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncryptedPayload(b *testing.B) {
	header, plain := make([]byte, 32), make([]byte, 1200)
	for _, s := range []IKESuite{
		{Encr: Encryption{spd.EncrAESGCM16, 128}},
		{Encr: Encryption{spd.EncrAESGCM8, 128}},
		{Encr: Encryption{spd.EncrAESCCM16, 128}},
		{Encr: Encryption{ID: spd.EncrChaCha20Poly1305}},
		{Encr: Encryption{spd.EncrAESCBC, 128}, Integ: spd.IntegSHA1_96},
		{Encr: Encryption{spd.EncrAESCBC, 256}, Integ: spd.IntegSHA256_128},
		{Encr: Encryption{spd.EncrAESCTR, 128}, Integ: spd.IntegAESCMAC96},
	} {
		c, rnd := newTestCipher(b, s.Encr, s.Integ), seeded(1)
		b.Run(s.Encr.String()+"/"+integName(s.Integ), func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			for b.Loop() {
				body, err := c.Seal(nil, header, plain, rnd)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := c.Open(header, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
