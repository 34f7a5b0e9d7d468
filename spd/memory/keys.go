package memory

import (
	"fmt"
	"slices"

	"mipsecd/spd"
)

func isIPsec(proto uint8) bool { return proto == spd.ESP || proto == spd.AH }

// Lengths of keys in octets, salt included.
var (
	encrKeys = map[spd.Encr][]int{
		spd.Encr3DES:             {24},
		spd.EncrNull:             {0},
		spd.EncrAESCBC:           {16, 24, 32},
		spd.EncrAESCTR:           {20, 28, 36},
		spd.EncrAESCCM8:          {19, 27, 35},
		spd.EncrAESCCM12:         {19, 27, 35},
		spd.EncrAESCCM16:         {19, 27, 35},
		spd.EncrAESGCM8:          {20, 28, 36},
		spd.EncrAESGCM12:         {20, 28, 36},
		spd.EncrAESGCM16:         {20, 28, 36},
		spd.EncrChaCha20Poly1305: {36},
	}
	integKeys = map[spd.Integ]int{
		spd.IntegNone:       0,
		spd.IntegSHA1_96:    20,
		spd.IntegAESXCBC96:  16,
		spd.IntegAESCMAC96:  16,
		spd.IntegSHA256_128: 32,
		spd.IntegSHA384_192: 48,
		spd.IntegSHA512_256: 64,
	}
)

func isAEAD(e spd.Encr) bool { return e >= spd.EncrAESCCM8 }

// checkKeys refuses what no kernel takes: unknown algorithms, keys of wrong length, two integrity checks or none.
func checkKeys(proto uint8, t spd.Transform) error {
	integ, ok := integKeys[t.Integ]
	if !ok || len(t.IntegKey) != integ {
		return fmt.Errorf("integrity algorithm %d with a key of %d octets", t.Integ, len(t.IntegKey))
	}
	aead := proto == spd.ESP && isAEAD(t.Encr)
	if aead != (t.Integ == spd.IntegNone) {
		return fmt.Errorf("integrity algorithm %d with encryption algorithm %d", t.Integ, t.Encr)
	}
	if proto == spd.ESP && !slices.Contains(encrKeys[t.Encr], len(t.EncrKey)) {
		return fmt.Errorf("encryption algorithm %d with a key of %d octets", t.Encr, len(t.EncrKey))
	}
	return nil
}
