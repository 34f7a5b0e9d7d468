package suite

import (
	"bytes"
	"slices"
	"testing"
)

func TestBothSidesShareAnEncapsulatedSecret(t *testing.T) {
	for g, ciphertextLen := range map[Group]int{MLKEM768: 1088, MLKEM1024: 1568} {
		k, again := generate(t, g, seeded(1)), generate(t, g, seeded(1))
		public, shared, err := AnswerKE(g, seeded(2), k.Public())
		if err != nil || len(shared) != 32 || len(public) != ciphertextLen {
			t.Fatalf("%s: %d octets of secret, %d of ciphertext, %v", g, len(shared), len(public), err)
		}
		if got, err := again.Shared(public); err != nil || !got.Equal(shared) {
			t.Errorf("%s: %v, or different secrets", g, err)
		}
		if other, _, err := AnswerKE(g, seeded(2), k.Public()); err != nil || bytes.Equal(other, public) {
			t.Errorf("%s: %v, or the same ciphertext for a second secret", g, err)
		}
	}
}

// FIPS 203 sections 7.2 and 7.3: lengths, and that each coefficient of an encapsulation key is below 3329.
func TestFIPS203_7_InputChecks(t *testing.T) {
	for _, g := range kems {
		k := generate(t, g, seeded(1))
		good, shared, err := AnswerKE(g, seeded(2), k.Public())
		if err != nil {
			t.Fatal(err)
		}
		tooLarge := k.Public()
		tooLarge[0], tooLarge[1] = 0xff, tooLarge[1]|0x0f
		for name, key := range map[string][]byte{
			"nothing": nil, "a key without its first octet": k.Public()[1:], "a coefficient of 4095": tooLarge,
			"a key with an octet after it": append(k.Public(), 0),
		} {
			if public, shared, err := AnswerKE(g, seeded(2), key); err == nil || public != nil || shared != nil {
				t.Errorf("%s: %s was taken", g, name)
			}
		}
		for _, answer := range [][]byte{nil, good[1:], append(slices.Clone(good), 0), make([]byte, 32)} {
			if got, err := k.Shared(answer); err == nil || got != nil {
				t.Errorf("%s: a ciphertext of %d octets was taken", g, len(answer))
			}
		}
		// Section 6.3: another ciphertext is rejected by a secret that nobody shares.
		forged := slices.Clone(good)
		forged[0] ^= 1
		if got, err := k.Shared(forged); err != nil || got.Equal(shared) {
			t.Errorf("%s: %v, or the secret of another ciphertext", g, err)
		}
	}
}
