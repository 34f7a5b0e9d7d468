package pfkey

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"mipsecd/internal/secret"
	"mipsecd/spd"
)

// bsd is a dialect of the KAME kind, so that the other side of each difference is tested, too.
var bsd = dialect{
	inet6: 28, saLen: true, movesItself: true, migrate: sadbMigrate, packet: 27, maxReqid: 0x3fff, maxReplay: 255,
	encr: linux.encr, integ: linux.integ, errnos: linux.errnos,
}

var (
	hoa       = netip.MustParseAddr("2001:db8:1::100")
	homeAgent = netip.MustParseAddr("2001:db8:1::1")
	coa       = netip.MustParseAddr("2001:db8:2:0:8473:8aff:fe11:3075")
	coa2      = netip.MustParseAddr("2001:db8:3::2")
	ip4       = netip.MustParseAddr("192.0.2.1")
	peer4     = netip.MustParseAddr("198.51.100.7")
	anywhere  = netip.MustParsePrefix("::/0")

	atHome = spd.Endpoints{Src: hoa, Dst: homeAgent}
	away   = spd.Endpoints{Src: coa, Dst: homeAgent}
	away2  = spd.Endpoints{Src: coa2, Dst: homeAgent}
)

// homeTestInit is the policy that the captured MIGRATE is about.
func homeTestInit(e spd.Endpoints) spd.Policy {
	return spd.Policy{
		PolicyKey: spd.PolicyKey{Selector: spd.MH(spd.Host(hoa), anywhere, 1), Dir: spd.Out},
		Priority:  10, Action: spd.Protect,
		Templates: []spd.Template{{Proto: spd.ESP, Mode: spd.Tunnel, Level: spd.Unique, Reqid: 5, Endpoints: e}},
	}
}

// fixture is a message as octets, and what it means. The octets are those of a little-endian machine.
type fixture struct {
	name    string
	dialect *dialect
	octets  string
	message message
	// oneWay marks what is not read back, as it has a key.
	oneWay bool
}

var fixtures = []fixture{{
	name:    "MIGRATE with KMADDRESS, captured on Linux 6.1",
	dialect: &linux,
	octets:  capturedMigrate,
	message: message{
		header:    header{typ: sadbMigrate, satype: satypeESP},
		kmAddress: spd.Endpoints{Src: coa, Dst: homeAgent},
		src:       &address{proto: 135, prefix: spd.Host(hoa)},
		dst:       &address{proto: 135, prefix: anywhere},
		policy: &policyExt{action: policyIPsec, dir: 2, requests: []request{
			{proto: spd.ESP, mode: spd.Tunnel, level: spd.Unique, reqid: 5, endpoints: atHome},
			{proto: spd.ESP, mode: spd.Tunnel, level: spd.Unique, reqid: 5, endpoints: away},
		}},
	},
}, {
	name:    "MIGRATE of KAME, in",
	dialect: &bsd,
	octets: `
		0000 02180000 1e000000 00000000 00000000                     # sadb_msg: satype UNSPEC, 30 x 8 = 240
		0010 05000500 ff000000 1c1c0000 00000000                     # SRC: any protocol, /0; sa_len 28, AF_INET6 28
		0020 00000000 00000000 00000000 00000000 00000000 00000000   # ::, scope, padding
		0038 05000600 ff800000 1c1c0000 00000000                     # DST: /128
		0048 20010db8 00010000 00000000 00000100 00000000 00000000
		0060 12001200 02000100 03000000 00000000                     # X_POLICY: 18 x 8, IPSEC, in, id 3, reserved
		0070 40003200 02030500                                       # old: 64 octets, ESP, tunnel, unique, reqid 5
		0078 1c1c0000 00000000 20010db8 00010000 00000000 00000001 00000000
		0094 1c1c0000 00000000 20010db8 00010000 00000000 00000100 00000000
		00b0 40003200 02030500                                       # new
		00b8 1c1c0000 00000000 20010db8 00010000 00000000 00000001 00000000
		00d4 1c1c0000 00000000 20010db8 00020000 84738aff fe113075 00000000`,
	message: message{
		header: header{typ: sadbMigrate},
		src:    &address{proto: anyProto, prefix: anywhere},
		dst:    &address{proto: anyProto, prefix: spd.Host(hoa)},
		policy: &policyExt{action: policyIPsec, dir: 1, id: 3, requests: []request{
			{proto: spd.ESP, mode: spd.Tunnel, level: spd.Unique, reqid: 5, endpoints: atHome.Reverse()},
			{proto: spd.ESP, mode: spd.Tunnel, level: spd.Unique, reqid: 5, endpoints: away.Reverse()},
		}},
	},
}, {
	name:    "ACQUIRE of KAME with PACKET",
	dialect: &bsd,
	octets: `
		0000 02060003 11000000 07000000 00000000                     # sadb_msg: ESP, 17 x 8 = 136, seq 7
		0010 05000500 ff800000 1c1c0000 00000000                     # SRC
		0020 20010db8 00010000 00000000 00000100 00000000 00000000
		0038 05000600 ff800000 1c1c0000 00000000                     # DST
		0048 20010db8 00010000 00000000 00000001 00000000 00000000
		0060 02001200 02000200 2a000000 00000000                     # X_POLICY: IPSEC, out, id 42
		0070 03001b00 0a000000                                       # PACKET (27): copylen 10
		0078 60000000 00008740 20010000 00000000                     # its octets, padding`,
	message: message{
		header: header{typ: sadbAcquire, satype: satypeESP, seq: 7},
		src:    &address{proto: anyProto, prefix: spd.Host(hoa)},
		dst:    &address{proto: anyProto, prefix: spd.Host(homeAgent)},
		policy: &policyExt{action: policyIPsec, dir: 2, id: 42},
		packet: []byte{0x60, 0, 0, 0, 0, 0, 0x87, 0x40, 0x20, 0x01},
	},
}, {
	name:    "SPDADD of Linux: BU out, transport",
	dialect: &linux,
	octets: `
		0000 020e0000 10000000 01000080 39300000                     # sadb_msg: 16 x 8 = 128, seq 0x80000001, pid 12345
		0010 05000500 87800000 0a000005 00000000                     # SRC: MH, /128; AF_INET6 10, port 5 is the MH type
		0020 20010db8 00010000 00000000 00000100 00000000 00000000
		0038 05000600 87800000 0a000000 00000000                     # DST
		0048 20010db8 00010000 00000000 00000001 00000000 00000000
		0060 04001200 02000200 00000000 0a000000                     # X_POLICY: 4 x 8, IPSEC, out, priority 10
		0070 10003200 01030000 01000000 00000000                     # 16 octets, ESP, transport, unique, reqid 1`,
	message: message{
		header: header{typ: sadbSPDAdd, seq: 0x80000001, pid: 12345},
		src:    &address{proto: 135, prefix: spd.Host(hoa), port: 5},
		dst:    &address{proto: 135, prefix: spd.Host(homeAgent)},
		policy: &policyExt{action: policyIPsec, dir: 2, priority: 10, requests: []request{
			{proto: spd.ESP, mode: spd.Transport, level: spd.Unique, reqid: 1},
		}},
	},
}, {
	name:    "GETSPI of Linux, IPv4",
	dialect: &linux,
	octets: `
		0000 02010003 0c000000 02000080 39300000                     # sadb_msg: ESP, 12 x 8 = 96
		0010 03000500 00200000 02000000 c0000201 00000000 00000000   # SRC: /32; AF_INET 2
		0028 03000600 00200000 02000000 c6336407 00000000 00000000   # DST
		0040 02001000 00010000 ffffffff 00000000                     # SPIRANGE: 0x100 to the highest
		0050 02001300 02000000 00000000 00000000                     # X_SA2: tunnel, no reqid`,
	message: message{
		header:   header{typ: sadbGetSPI, satype: satypeESP, seq: 0x80000002, pid: 12345},
		src:      hostAddress(ip4),
		dst:      hostAddress(peer4),
		spiRange: &spiRange{0x100, 0xffffffff},
		sa2:      &sa2Ext{mode: 2},
	},
}, {
	name:    "ADD of Linux: AES-CBC, HMAC-SHA1",
	dialect: &linux,
	oneWay:  true,
	octets: `
		0000 02030003 1f000000 07000000 39300000                     # sadb_msg: ESP, 31 x 8 = 248, seq of the ACQUIRE
		0010 02000100 00001001 2001030c 00000000                     # SA: SPI 0x1001, window 32, mature, auth 3, encr 12
		0020 04000300 00000000 00000000 00000000                     # LIFETIME_HARD: no allocations, no octets
		0030 100e0000 00000000 00000000 00000000                     #   3600 s
		0040 04000400 00000000 00001000 00000000                     # LIFETIME_SOFT: 1 MiB
		0050 080c0000 00000000 00000000 00000000                     #   3080 s
		0060 05000500 00800000 0a000000 00000000                     # SRC
		0070 20010db8 00010000 00000000 00000100 00000000 00000000
		0088 05000600 00800000 0a000000 00000000                     # DST
		0098 20010db8 00010000 00000000 00000001 00000000 00000000
		00b0 04000800 a0000000                                       # KEY_AUTH: 160 bits
		00b8 0b0b0b0b 0b0b0b0b 0b0b0b0b 0b0b0b0b 0b0b0b0b 00000000
		00d0 03000900 80000000                                       # KEY_ENCRYPT: 128 bits
		00d8 0e0e0e0e 0e0e0e0e 0e0e0e0e 0e0e0e0e
		00e8 02001300 01000000 00000000 01000000                     # X_SA2: transport, reqid 1`,
	message: message{
		header:  header{typ: sadbAdd, satype: satypeESP, seq: 7, pid: 12345},
		sa:      &saExt{spi: 0x1001, replay: 32, state: stateMature, auth: 3, encrypt: 12},
		hard:    &lifetime{addTime: 3600},
		soft:    &lifetime{bytes: 1 << 20, addTime: 3080},
		src:     hostAddress(hoa),
		dst:     hostAddress(homeAgent),
		authKey: key(11, 20), encrKey: key(14, 16),
		sa2: &sa2Ext{mode: 1, reqid: 1},
	},
}, {
	name:    "X_NAT_T_NEW_MAPPING of Linux",
	dialect: &linux,
	octets: `
		0000 02170003 0f000000 01000000 00000000                     # sadb_msg: ESP, 15 x 8 = 120
		0010 02000100 00001001 00010000 00000000                     # SA: SPI 0x1001, mature
		0020 03000500 00200000 02000000 c6336407 00000000 00000000   # SRC: 198.51.100.7
		0038 03000600 00200000 02000000 c0000201 00000000 00000000   # DST: 192.0.2.1
		0050 02001300 00000000 00000000 00000000                     # X_SA2
		0060 01001400 02000000                                       # X_NAT_T_TYPE: ESP in UDP
		0068 01001500 11940000                                       # X_NAT_T_SPORT: 4500
		0070 01001600 4e200000                                       # X_NAT_T_DPORT: 20000`,
	message: message{
		header: header{typ: sadbNATMapping, satype: satypeESP, seq: 1},
		sa:     &saExt{spi: 0x1001, state: stateMature},
		src:    hostAddress(peer4),
		dst:    hostAddress(ip4),
		sa2:    &sa2Ext{},
		encap:  spd.Encap{Src: 4500, Dst: 20000},
	},
}, {
	name:    "REGISTER's reply of Linux",
	dialect: &linux,
	octets: `
		0000 02070003 07000000 03000080 39300000                     # sadb_msg: ESP, 7 x 8 = 56
		0010 03000e00 00000000                                       # SUPPORTED_AUTH
		0018 fb000000 00000000                                       #   NULL
		0020 0300a000 a0000000                                       #   HMAC-SHA1, 160 bits
		0028 02000f00 00000000                                       # SUPPORTED_ENCRYPT
		0030 0c108000 00010000                                       #   AES-CBC, IV 16, 128 to 256 bits`,
	message: message{
		header:   header{typ: sadbRegister, satype: satypeESP, seq: 0x80000003, pid: 12345},
		authAlgs: []algorithm{{id: 251}, {id: 3, minBits: 160, maxBits: 160}},
		encrAlgs: []algorithm{{id: 12, ivLen: 16, minBits: 128, maxBits: 256}},
	},
}}

const capturedMigrate = `
	0000 02180003 28000000 00000000 00000000                     # sadb_msg: ESP, 40 x 8 = 320, seq 0, pid 0
	0010 08001900 00000000                                       # KMADDRESS (25)
	0018 0a000000 00000000 20010db8 00020000 84738aff fe113075 00000000
	0034 0a000000 00000000 20010db8 00010000 00000000 00000001 00000000
	0050 05000500 87800000 0a000000 00000000                     # SRC: MH, /128; the port is 0 though the type is 1
	0060 20010db8 00010000 00000000 00000100 00000000 00000000
	0078 05000600 87000000 0a000000 00000000                     # DST: /0
	0088 00000000 00000000 00000000 00000000 00000000 00000000
	00a0 14001200 02000200 00000000 00000000                     # X_POLICY: 20 x 8, IPSEC, out
	00b0 48003200 02030000 05000000 00000000                     # old: 72 octets, ESP, tunnel, unique, reqid 5
	00c0 0a000000 00000000 20010db8 00010000 00000000 00000100 00000000
	00dc 0a000000 00000000 20010db8 00010000 00000000 00000001 00000000
	00f8 48003200 02030000 05000000 00000000                     # new
	0108 0a000000 00000000 20010db8 00020000 84738aff fe113075 00000000
	0124 0a000000 00000000 20010db8 00010000 00000000 00000001 00000000`

func key(fill byte, n int) secret.Bytes {
	return secret.Bytes(strings.Repeat(string(rune(fill)), n))
}

// parse reads lines of an offset and octets in hex, with comments.
func parse(t testing.TB, text string) []byte {
	t.Helper()
	var b []byte
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		offset, octets, _ := strings.Cut(strings.TrimSpace(line), " ")
		if offset == "" {
			continue
		}
		if at, err := strconv.ParseUint(offset, 16, 16); err != nil || int(at) != len(b) {
			t.Fatalf("line of offset %s is at %04x", offset, len(b))
		}
		decoded, err := hex.DecodeString(strings.ReplaceAll(octets, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, decoded...)
	}
	return b
}
