package mobility

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mipsecd/spd"
)

// golden's messages in Wireshark's words.
var inWireshark = map[string]string{
	"BRR":  "mip6.mhtype == 0 && mip6.hlen == 0",
	"HoTI": "mip6.mhtype == 1 && mip6.hoti.cookie == 0x0102030405060708",
	"CoTI": "mip6.mhtype == 2 && mip6.coti.cookie == 0x0102030405060708",
	"HoT": "mip6.mhtype == 3 && mip6.hot.nindex == 9 && mip6.hot.cookie == 0x0100000000000000 && " +
		"mip6.hot.token == 0x0200000000000003",
	"CoT": "mip6.mhtype == 4 && mip6.cot.nindex == 9 && mip6.cot.cookie == 0x0100000000000000",
	"BU without options is padded with 4 octets": "mip6.mhtype == 5 && mip6.bu.seqnr == 0x1234 && " +
		"mip6.bu.a_flag == 1 && mip6.bu.h_flag == 0 && mip6.bu.l_flag == 0 && mip6.bu.k_flag == 0 && " +
		"mip6.bu.lifetime == 15 && !mip6.acoa.acoa",
	"home registration": "mip6.bu.seqnr == 1 && mip6.bu.a_flag == 1 && mip6.bu.h_flag == 1 && mip6.bu.l_flag == 1 && " +
		"mip6.bu.k_flag == 1 && mip6.bu.lifetime == 105 && mip6.acoa.acoa == 2001:db8:2::5",
	"BU to a correspondent": "mip6.bu.seqnr == 2 && mip6.bu.a_flag == 0 && mip6.acoa.acoa == 2001:db8:2::5 && " +
		"mip6.ni.hni == 7 && mip6.ni.cni == 8 && mip6.bad.auth == 61:75:74:68:65:6e:74:69:63:61:74:65",
	"BA with refresh advice": "mip6.mhtype == 6 && mip6.ba.status == 0 && mip6.ba.k_flag == 1 && mip6.ba.seqnr == 1 && " +
		"mip6.ba.lifetime == 10 && mip6.bra.interval == 8",
	"BA that refuses": "mip6.mhtype == 6 && mip6.ba.status == 135 && mip6.ba.k_flag == 0 && mip6.ba.seqnr == 0xfffe",
	"BE":              "mip6.mhtype == 7 && mip6.be.status == 1 && mip6.be.haddr == 2001:db8:1::100",
}

// TestWireshark has an independent implementation read what Marshal writes and the headers that these tests build for
// ParsePacket: each packet must match its display filter.
func TestWireshark(t *testing.T) {
	var packets [][]byte
	var filters []string
	add := func(filter string, packet []byte) {
		packets = append(packets, packet)
		filters = append(filters, fmt.Sprintf("(frame.number == %d && !_ws.expert && %s)", len(packets), filter))
	}
	for _, g := range golden {
		if inWireshark[g.name] == "" {
			t.Fatalf("no filter for %s", g.name)
		}
		add(inWireshark[g.name], ipv6(hoa, ha, spd.ProtoMH, marshal(t, g.message)))
	}
	add("mip6.bu.h_flag == 1 && ipv6.opt.mipv6.home_address == 2001:db8:1::100",
		ipv6(coa, ha, destOptions, homeAddress(spd.ProtoMH, hoa), marshal(t, registration)))
	add("mip6.ba.seqnr == 1 && ipv6.routing.mipv6.home_address == 2001:db8:1::100",
		ipv6(ha, coa, routing, routing2(spd.ProtoMH, hoa), marshal(t, BindingAck{Sequence: 1})))

	file := filepath.Join(t.TempDir(), "mh.pcap")
	if err := os.WriteFile(file, pcap(packets), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("tshark", "-r", file, "-Y", strings.Join(filters, " || "), "-T", "fields", "-e", "frame.number")
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v: %s", err, &complaint)
	}
	matched := strings.Fields(string(out))
	for i, filter := range filters {
		if !slices.Contains(matched, fmt.Sprint(i+1)) {
			t.Errorf("%x does not match %s", packets[i], filter)
		}
	}
}

// pcap is a capture of IPv6 packets without link layer (LINKTYPE_RAW).
func pcap(packets [][]byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	b = binary.LittleEndian.AppendUint16(b, 2)
	b = binary.LittleEndian.AppendUint16(b, 4)
	for _, v := range []uint32{0, 0, 65535, 101} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	for _, p := range packets {
		for _, v := range []int{0, 0, len(p), len(p)} {
			b = binary.LittleEndian.AppendUint32(b, uint32(v))
		}
		b = append(b, p...)
	}
	return b
}

// TestRFC6275Section6_1_1Checksum compares with what the kernel puts into the Checksum field on a raw socket.
func TestRFC6275Section6_1_1Checksum(t *testing.T) {
	loopback := netip.IPv6Loopback()
	conn, err := net.ListenPacket("ip6:135", loopback.String())
	if err != nil {
		t.Fatalf("raw socket (needs CAP_NET_RAW): %v", err)
	}
	defer conn.Close()
	got := make([]byte, maxMH)
	for _, g := range golden {
		mh := marshal(t, g.message)
		if _, err := conn.WriteTo(mh, &net.IPAddr{IP: loopback.AsSlice()}); err != nil {
			t.Fatal(err)
		}
		n, _, err := conn.ReadFrom(got)
		if err != nil || n != len(mh) {
			t.Fatalf("%d octets, %v", n, err)
		}
		want := binary.BigEndian.Uint16(got[checksumStart:])
		if sum := Checksum(loopback, loopback, mh); sum != want || want == 0 {
			t.Errorf("%s: %04x, the kernel computed %04x", g.name, sum, want)
		}
		if sum := Checksum(loopback, loopback, got[:n]); sum != want {
			t.Errorf("%s: %04x where the field is filled in, want %04x", g.name, sum, want)
		}
	}
}
