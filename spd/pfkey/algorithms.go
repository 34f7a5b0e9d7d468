package pfkey

import (
	"fmt"

	"mipsecd/spd"
)

// Names of the IKEv2 transforms, for errors.
var (
	encrNames = map[spd.Encr]string{
		spd.Encr3DES: "3DES", spd.EncrNull: "NULL", spd.EncrAESCBC: "AES_CBC", spd.EncrAESCTR: "AES_CTR",
		spd.EncrAESCCM8: "AES_CCM_8", spd.EncrAESCCM12: "AES_CCM_12", spd.EncrAESCCM16: "AES_CCM_16",
		spd.EncrAESGCM8: "AES_GCM_8", spd.EncrAESGCM12: "AES_GCM_12", spd.EncrAESGCM16: "AES_GCM_16",
		spd.EncrChaCha20Poly1305: "CHACHA20_POLY1305",
	}
	integNames = map[spd.Integ]string{
		spd.IntegNone: "NONE", spd.IntegSHA1_96: "HMAC_SHA1_96", spd.IntegAESXCBC96: "AES_XCBC_96",
		spd.IntegAESCMAC96: "AES_CMAC_96", spd.IntegSHA256_128: "HMAC_SHA2_256_128",
		spd.IntegSHA384_192: "HMAC_SHA2_384_192", spd.IntegSHA512_256: "HMAC_SHA2_512_256",
	}
)

func encrName(e spd.Encr) string {
	return fmt.Sprintf("ENCR_%s (%d)", encrNames[e], e)
}

func integName(i spd.Integ) string {
	return fmt.Sprintf("AUTH_%s (%d)", integNames[i], i)
}
