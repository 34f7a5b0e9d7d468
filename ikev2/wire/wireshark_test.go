package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tshark runs Wireshark's dissector, the second opinion on what this package writes.
func tshark(t *testing.T, args ...string) string {
	t.Helper()
	var complaints bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "tshark", args...)
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark (of the Debian package tshark): %v\n%s", err, &complaints)
	}
	return string(out)
}

// capture writes datagrams of UDP port 500 as a capture file of raw IPv6.
func capture(t *testing.T, datagrams ...[]byte) (file string) {
	t.Helper()
	const linkTypeIPv6 = 229
	order := binary.LittleEndian
	b := order.AppendUint32(nil, 0xa1b2c3d4)
	b = order.AppendUint16(order.AppendUint16(b, 2), 4)
	b = append(b, make([]byte, 8)...)
	b = order.AppendUint32(order.AppendUint32(b, 65535), linkTypeIPv6)
	for _, d := range datagrams {
		udp := binary.BigEndian.AppendUint16([]byte{500 >> 8, 500 & 0xff, 500 >> 8, 500 & 0xff}, uint16(8+len(d)))
		udp = append(append(udp, 0, 0), d...)
		ip := binary.BigEndian.AppendUint16([]byte{0x60, 0, 0, 0}, uint16(len(udp)))
		ip = append(ip, 17, 64)
		ip = append(ip, netip.MustParseAddr("2001:db8:2::100").AsSlice()...)
		ip = append(ip, netip.MustParseAddr("2001:db8:1::1").AsSlice()...)
		ip = append(ip, udp...)
		b = append(b, make([]byte, 8)...)
		b = order.AppendUint32(order.AppendUint32(b, uint32(len(ip))), uint32(len(ip)))
		b = append(b, ip...)
	}
	file = filepath.Join(t.TempDir(), "ike.pcap")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// sampled is the payload of the sample of this name.
func sampled(t *testing.T, name string) Payload {
	t.Helper()
	for _, s := range samples {
		if s.name == name {
			return s.payload
		}
	}
	t.Fatalf("no sample %q", name)
	return nil
}

func TestWiresharkReadsTheSame(t *testing.T) {
	header := Header{
		SPIi: 0x0102030405060708, SPIr: 0x1112131415161718, Version: Version20, Exchange: ExchangeIKEAuth, Initiator: true,
		Response: true, MessageID: 7,
	}
	cases := []struct {
		name     string
		payloads []string          // names of samples
		want     map[string]string // Wireshark's fields, all that are in the message, in order
	}{
		{"header", nil, map[string]string{
			"isakmp.ispi": "0102030405060708", "isakmp.rspi": "1112131415161718", "isakmp.nextpayload": "0",
			"isakmp.version": "0x20", "isakmp.exchangetype": "35", "isakmp.flag_i": "1", "isakmp.flag_r": "1",
			"isakmp.flag_v": "0", "isakmp.messageid": "0x00000007", "isakmp.length": "28",
		}},
		{"IKE_SA_INIT", []string{"SA of IKE", "KE", "Nonce", "N about the IKE_SA", "V", "CERTREQ"}, map[string]string{
			"isakmp.typepayload": "33,2,3,3,3,3,3,34,40,41,43,38", "isakmp.payloadlength": "56,52,12,8,8,8,8,12,36,11,11,25",
			"isakmp.prop.number": "1", "isakmp.prop.protoid": "1", "isakmp.spisize": "0,0", "isakmp.prop.transforms": "5",
			"isakmp.tf.type": "1,2,3,4,6", "isakmp.tf.id.encr": "12", "isakmp.ike2.attr.key_length": "256",
			"isakmp.tf.id.prf": "5", "isakmp.tf.id.integ": "12", "isakmp.tf.id.dh": "31", "isakmp.tf.id": "36",
			"isakmp.key_exchange.dh_group": "31", "isakmp.key_exchange.data": "01020304",
			"isakmp.nonce": strings.Repeat("5a", 32), "isakmp.notify.protoid": "0", "isakmp.notify.msgtype": "16390",
			"isakmp.notify.data": "010203", "isakmp.vid_bytes": "6d697073656364", "isakmp.certreq.type": "4",
			"isakmp.ike.certreq.authority": strings.Repeat("a5", 20),
		}},
		{"CREATE_CHILD_SA", []string{
			"SA of ESP, two proposals", "TSi of a home address's Binding Updates", "TSr of both families, with OPAQUE ports",
			"N about a Child SA", "D of Child SAs",
		}, map[string]string{
			"isakmp.typepayload": "33,2,3,3,3,3,2,3,3,44,45,41,42", "isakmp.prop.number": "1,2", "isakmp.prop.protoid": "3,3",
			"isakmp.spisize": "4,4,4,4", "isakmp.spi": "052357bb,35a1d6f2,01020304", "isakmp.prop.transforms": "4,2",
			"isakmp.tf.type": "1,3,5,5,1,5", "isakmp.tf.id.encr": "12,20", "isakmp.ike2.attr.key_length": "128,128",
			"isakmp.tf.id.integ": "12", "isakmp.tf.id.esn": "1,0,0", "isakmp.ts.number": "1,2", "isakmp.ts.type": "8,7,8",
			"isakmp.ts.protoid": "135,17,0", "isakmp.ts.start_port": "1280,100,65535", "isakmp.ts.end_port": "1280,200,0",
			"isakmp.ts.start_ipv6": "2001:db8:1::100,::",
			"isakmp.ts.end_ipv6":   "2001:db8:1::100,ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
			"isakmp.ts.start_ipv4": "192.0.2.0", "isakmp.ts.end_ipv4": "192.0.2.255", "isakmp.notify.protoid": "3",
			"isakmp.notify.msgtype": "16393", "isakmp.delete.protoid": "3", "isakmp.spinum": "2",
			"isakmp.delete.spi": "01020304,0a0b0c0d",
		}},
		{"IKE_AUTH", []string{"IDi", "IDr", "CERT", "AUTH", "CP", "EAP"}, map[string]string{
			"isakmp.typepayload": "35,36,37,39,47,48", "isakmp.id.type": "2,5", "isakmp.id.data.fqdn": "mn.example",
			"isakmp.id.data.ipv6_addr": "2001:db8:1::1", "isakmp.cert.encoding": "12",
			"isakmp.cert.x509.url": "http://ca.example/mn",
			"isakmp.auth.method":   "2", "isakmp.auth.data": "090807", "isakmp.cfg.type": "1", "isakmp.cfg.attr.type": "8,7",
			"isakmp.cfg.attr.length": "0,2", "isakmp.cfg.attr.application_version": "v1", "eap.code": "3", "eap.id": "1",
		}},
		{"a home address", []string{"CP that assigns a home address"}, map[string]string{
			"isakmp.cfg.type": "2", "isakmp.cfg.attr.type": "8,10,16,15,14,1", "isakmp.cfg.attr.length": "17,16,21,17,4,4",
			"isakmp.cfg.attr.internal_ip6_address":        "2001:db8:1::100",
			"isakmp.cfg.attr.internal_ip6_address.prefix": "64", "isakmp.cfg.attr.internal_ip6_dns": "2001:db8:1::53",
			"isakmp.cfg.attr.internal_ip6_subnet_ip": "2001:db8::", "isakmp.cfg.attr.internal_ip6_subnet_prefix": "32",
			"isakmp.cfg.attr.supported_attributes": "8,16", "isakmp.cfg.attr.internal_ip4_address": "192.0.2.1",
		}},
		{"INFORMATIONAL", []string{"D of the IKE_SA"}, map[string]string{
			"isakmp.delete.protoid": "1", "isakmp.spisize": "0", "isakmp.spinum": "0",
		}},
		{"SK", []string{"SK"}, map[string]string{"isakmp.nextpayload": "46,35", "isakmp.payloadlength": "36"}},
		{"SKF", []string{"SKF"}, map[string]string{
			"isakmp.nextpayload": "53,35", "isakmp.frag.number": "1", "isakmp.frag.total": "3",
		}},
	}
	const malformed, extra = "_ws.malformed", "isakmp.extradata"
	asked := map[string]bool{malformed: true, extra: true}
	var datagrams [][]byte
	for _, c := range cases {
		m := &Message{Header: header}
		for _, name := range c.payloads {
			m.Payloads = append(m.Payloads, sampled(t, name))
		}
		datagrams = append(datagrams, m.Marshal())
		for field := range c.want {
			asked[field] = true
		}
		c.want[malformed], c.want[extra] = "", ""
	}
	fields := slices.Sorted(maps.Keys(asked))
	args := []string{"-r", capture(t, datagrams...), "-T", "fields", "-E", "separator=|"}
	for _, field := range fields {
		args = append(args, "-e", field)
	}
	rows := strings.Split(strings.TrimSuffix(tshark(t, args...), "\n"), "\n")
	if len(rows) != len(cases) {
		t.Fatalf("%d messages for %d", len(rows), len(cases))
	}
	for i, c := range cases {
		got := strings.Split(rows[i], "|")
		for j, field := range fields {
			if want, ok := c.want[field]; ok && got[j] != want {
				t.Errorf("%s: Wireshark reads %s as %q, want %q", c.name, field, got[j], want)
			}
		}
	}
}

// newer are the names that Wireshark 4.0 does not know yet, each as its RFC numbers it.
var newer = map[string]int{
	"ID_NULL": 13, "Raw Public Key": 15, "IKE_INTERMEDIATE": 43, "IKE_FOLLOWUP_KE": 44,
	"ADDKE1": 6, "ADDKE2": 7, "ADDKE3": 8, "ADDKE4": 9, "ADDKE5": 10, "ADDKE6": 11, "ADDKE7": 12,
	"STATE_NOT_FOUND": 47, "PUZZLE": 16434, "USE_PPK": 16435, "PPK_IDENTITY": 16436, "NO_PPK_AUTH": 16437,
	"INTERMEDIATE_EXCHANGE_SUPPORTED": 16438, "ADDITIONAL_KEY_EXCHANGE": 16441,
	"INTERNAL_DNS_DOMAIN": 25, "INTERNAL_DNSSEC_TA": 26,
}

func TestNumbersAreWiresharks(t *testing.T) {
	// Lines such as "R isakmp.notify.msgtype 38 38 TS_UNACCEPTABLE" and "V isakmp.exchangetype 35 IKE_AUTH".
	known := map[string]bool{}
	for line := range strings.Lines(tshark(t, "-G", "values")) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		switch {
		case f[0] == "V" && len(f) == 4:
			known[f[1]+" "+f[2]+" "+f[3]] = true
		case f[0] == "R" && len(f) == 5 && f[2] == f[3]:
			known[f[1]+" "+f[2]+" "+f[4]] = true
		}
	}
	check := func(field string, number int, name string, spellings ...string) {
		if !slices.ContainsFunc(append(spellings, name), func(s string) bool {
			return known[fmt.Sprintf("%s %d %s", field, number, s)]
		}) && newer[name] != number {
			t.Errorf("%s %d is not %s", field, number, name)
		}
	}
	for v, name := range exchangeNames {
		check("isakmp.exchangetype", int(v), name)
	}
	for v, name := range protocolNames {
		check("isakmp.prop.protoid", int(v), name)
	}
	for v, name := range transformNames {
		check("isakmp.tf.type", int(v), name, map[TransformType]string{
			TransformENCR: "Encryption Algorithm (ENCR)", TransformPRF: "Pseudo-random Function (PRF)",
			TransformINTEG: "Integrity Algorithm (INTEG)", TransformKE: "Diffie-Hellman Group (D-H)",
			TransformESN: "Extended Sequence Numbers (ESN)",
		}[v])
	}
	for v, name := range idNames {
		check("isakmp.id.type", int(v), name, strings.TrimPrefix(name, "ID_"))
	}
	for v, name := range certNames {
		check("isakmp.cert.encoding", int(v), name)
	}
	for v, name := range authNames {
		check("isakmp.auth.method", int(v), name)
	}
	for v, name := range notifyNames {
		check("isakmp.notify.msgtype", int(v), name)
	}
	for v, name := range cpNames {
		check("isakmp.cfg.type", int(v), name)
	}
	for v, name := range cpAttributeNames {
		check("isakmp.cfg.attr.type", int(v), name)
	}
}
