package pfkey

import (
	"fmt"
	"syscall"

	"mipsecd/spd"
)

// dialect is all that differs between the kernels that speak PF_KEY v2. Message types up to 22 and extension types up
// to 19 mean the same everywhere; those above, the inside of the policy extension and sockaddrs do not.
type dialect struct {
	inet6       uint16 // AF_INET6
	saLen       bool   // sockaddrs begin with sa_len, and sa_family is one octet
	wideRequest bool   // sadb_x_ipsecrequest has 16 octets with reqids of 32 bits; else 8 octets with 16 bits
	priority    bool   // sadb_x_policy ends with the priority; else the field is reserved
	forward     bool   // there are policies of direction fwd

	// movesItself: the kernel moves tunnels and their SAs with a binding of Mobile IPv6; if not by SADB_X_MIGRATE, it tells of
	// that by a SADB_X_SPDUPDATE that nobody has sent.
	movesItself bool

	migrate   msgType // SADB_X_MIGRATE as a request, or zero where userland can't send it
	kmAddress uint16  // SADB_X_EXT_KMADDRESS, or zero
	packet    uint16  // SADB_X_EXT_PACKET, or zero

	natMapping                      msgType // SADB_X_NAT_T_NEW_MAPPING, or zero
	natType, natSrcPort, natDstPort uint16  // SADB_X_EXT_NAT_T_TYPE, _SPORT and _DPORT, or zero

	maxReqid  uint32 // the highest reqid that a policy may choose itself
	maxReplay uint8  // the largest anti-replay window, in packets

	encr   map[spd.Encr]uint8  // SADB_EALG of the ciphers
	integ  map[spd.Integ]uint8 // SADB_AALG of those integrity algorithms whose truncation is that of IKEv2's number
	errnos map[syscall.Errno]error
}

// linux is Linux's af_key, whose numbers are in <linux/pfkeyv2.h>.
//
// SHA2-256 is missing for a reason: af_key truncates it to 96 bits, which no IKE transform means. The AEAD ciphers have
// numbers in the header, but af_key does not take them.
var linux = dialect{
	inet6:       10,
	wideRequest: true,
	priority:    true,
	forward:     true,

	migrate:   24,
	kmAddress: 25,

	natMapping: sadbNATMapping, natType: 20, natSrcPort: 21, natDstPort: 22,

	maxReqid:  0x3fff, // IPSEC_MANUAL_REQID_MAX: the kernel replaces a higher one by one of its own
	maxReplay: 32,

	encr: map[spd.Encr]uint8{
		spd.Encr3DES: 3, spd.EncrNull: 11, spd.EncrAESCBC: 12, spd.EncrAESCTR: 13,
	},
	integ: map[spd.Integ]uint8{
		spd.IntegSHA1_96: 3, spd.IntegSHA384_192: 6, spd.IntegSHA512_256: 7, spd.IntegAESXCBC96: 9,
	},
	errnos: map[syscall.Errno]error{
		2: spd.ErrNotFound, 3: spd.ErrNotFound, // ENOENT (policies), ESRCH (SAs)
		17: spd.ErrExists,     // EEXIST
		61: spd.ErrNoTemplate, // ENODATA
		22: spd.ErrInvalid,    // EINVAL
		38: spd.ErrInvalid,    // ENOSYS: an algorithm
		40: spd.ErrInvalid,    // ELOOP: too many templates
	},
}

// failure is the error of a message that came back with an errno. Where nothing is looked up nothing can be missing:
// there ENOENT is about an algorithm's module, or about SPIs.
func (d *dialect) failure(t msgType, errno uint8) error {
	e := syscall.Errno(errno)
	creates := t == sadbGetSPI || t == sadbAdd || t == sadbUpdate
	if known, ok := d.errnos[e]; ok && !(creates && known == spd.ErrNotFound) {
		return fmt.Errorf("%s: %w: %w", t, known, e)
	}
	return fmt.Errorf("%s: %w", t, e)
}
