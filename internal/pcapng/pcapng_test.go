package pcapng

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var (
	coa       = netip.MustParseAddrPort("[2001:db8:2::7]:500")
	homeAgent = netip.MustParseAddrPort("[2001:db8:1::1]:500")
	at        = time.Unix(1_790_000_000, 123_456_789)
)

// payload puts the generic header of RFC 7296 section 3.2 before a payload.
func payload(next byte, body ...byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{next, 0}, uint16(4+len(body))), body...)
}

// ikeAuth is an IKE_AUTH request with its inner payloads in the clear: IDi and N(USE_TRANSPORT_MODE).
func ikeAuth() []byte {
	const idi, notify = 35, 41
	inner := payload(notify, append([]byte{2, 0, 0, 0}, "mn.example.org"...)...) // ID_FQDN
	inner = append(inner, payload(0, 0, 0, 0x40, 0x07)...)                       // 16391
	header := append(bytes.Repeat([]byte{0xa1}, 8), bytes.Repeat([]byte{0xb2}, 8)...)
	header = append(header, idi, 0x20, 35, 0x08, 0, 0, 0, 1)
	return append(binary.BigEndian.AppendUint32(header, uint32(28+len(inner))), inner...)
}

// kinkCommand is a KINK header with an empty checksum and nothing else (RFC 4430 section 4).
func kinkCommand() []byte {
	return []byte{1, 0x10, 0, 16, 0, 0, 0, 1, 0, 0, 0, 7, 14, 0, 0, 0}
}

func write(t *testing.T, pdus ...PDU) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pdus {
		if err := w.WritePDU(p); err != nil {
			t.Fatal(err)
		}
	}
	return file.Bytes()
}

// dissect has tshark read the file, and returns for each packet the values of each field, at any depth.
func dissect(t *testing.T, file []byte) []map[string][]string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "trace.pcapng")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("tshark", "-r", name, "-T", "json", "--no-duplicate-keys")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, &stderr)
	}
	var packets []any
	if err := json.Unmarshal(out, &packets); err != nil {
		t.Fatal(err)
	}
	var all []map[string][]string
	for _, p := range packets {
		fields := map[string][]string{}
		collect(fields, "", p)
		all = append(all, fields)
	}
	return all
}

func collect(fields map[string][]string, name string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			collect(fields, name, inner)
		}
	case []any:
		for _, inner := range v {
			collect(fields, name, inner)
		}
	case string:
		fields[name] = append(fields[name], v)
	}
}

func TestWiresharkReadsIt(t *testing.T) {
	packets := dissect(t, write(t,
		PDU{Time: at, Dissector: "isakmp", Src: coa, Dst: homeAgent, Data: ikeAuth(), Comment: "mn.example.org sent é", Outbound: true},
		PDU{Time: at.Add(time.Nanosecond), Dissector: "isakmp", Src: homeAgent, Dst: coa, Data: append(ikeAuth(), 0)[:28]},
		PDU{Time: at, Dissector: "kink", Src: netip.MustParseAddrPort("192.0.2.1:5910"),
			Dst: netip.MustParseAddrPort("[::ffff:192.0.2.2]:911"), Data: kinkCommand(), Comment: "over IPv4"},
	))
	if len(packets) != 3 {
		t.Fatalf("%d packets", len(packets))
	}
	for i, want := range []map[string]string{
		{
			"frame.protocols": "exported_pdu:isakmp", "frame.time_epoch": "1790000000.123456789",
			"frame.packet_flags_direction": "0x00000002", "frame.comment": "mn.example.org sent é",
			"exported_pdu.ipv6_src": "2001:db8:2::7", "exported_pdu.ipv6_dst": "2001:db8:1::1",
			"exported_pdu.src_port": "500", "exported_pdu.dst_port": "500", "exported_pdu.port_type": "3",
			"isakmp.ispi": "a1:a1:a1:a1:a1:a1:a1:a1", "isakmp.rspi": "b2:b2:b2:b2:b2:b2:b2:b2", "isakmp.exchangetype": "35",
			"isakmp.messageid": "0x00000001", "isakmp.id.type": "2", "isakmp.id.data.fqdn": "mn.example.org",
			"isakmp.notify.msgtype": "16391",
		},
		{
			"frame.protocols": "exported_pdu:isakmp", "frame.time_epoch": "1790000000.123456790",
			"frame.packet_flags_direction": "0x00000001", "exported_pdu.ipv6_src": "2001:db8:1::1", "frame.comment": "",
		},
		{
			"kink.type": "1", "kink.length": "16", "kink.domain_of_interpretation": "1",
			"kink.transactionId": "7", "exported_pdu.ipv4_src": "192.0.2.1", "exported_pdu.ipv4_dst": "192.0.2.2",
			"exported_pdu.src_port": "5910", "exported_pdu.dst_port": "911", "frame.comment": "over IPv4",
		},
	} {
		for field, value := range want {
			if got := strings.Join(packets[i][field], " "); got != value {
				t.Errorf("packet %d: %s is %q, want %q", i, field, got, value)
			}
		}
	}
	if t.Failed() {
		t.Logf("%v", packets)
	}
}

// Blocks are whole multiples of four octets and have their length at both ends, whatever they hold.
func TestBlocksArePadded(t *testing.T) {
	for n := range 9 {
		file := write(t, PDU{Time: at, Dissector: "isakmp", Src: coa, Dst: homeAgent, Data: make([]byte, n),
			Comment: strings.Repeat("x", n)})
		for rest := file; len(rest) > 0; {
			length := int(binary.BigEndian.Uint32(rest[4:]))
			if length%4 != 0 || length > len(rest) || int(binary.BigEndian.Uint32(rest[length-4:])) != length {
				t.Fatalf("block of %d octets in\n%s", length, hex.Dump(file))
			}
			rest = rest[length:]
		}
	}
}

type broken struct{}

var errFull = errors.New("disk full")

func (broken) Write([]byte) (int, error) { return 0, errFull }

func TestErrors(t *testing.T) {
	if _, err := NewWriter(broken{}); !errors.Is(err, errFull) {
		t.Errorf("NewWriter: %v", err)
	}
	good := PDU{Time: at, Dissector: "isakmp", Src: coa, Dst: homeAgent}
	if err := (&Writer{broken{}}).WritePDU(good); !errors.Is(err, errFull) {
		t.Errorf("WritePDU: %v", err)
	}
	var file bytes.Buffer
	for name, spoil := range map[string]func(*PDU){
		"time":         func(p *PDU) { p.Time = time.Time{} },
		"dissector":    func(p *PDU) { p.Dissector = "" },
		"comment":      func(p *PDU) { p.Comment = strings.Repeat("x", 65536) },
		"no address":   func(p *PDU) { p.Dst = netip.AddrPort{} },
		"two families": func(p *PDU) { p.Dst = netip.MustParseAddrPort("192.0.2.1:500") },
	} {
		bad := good
		spoil(&bad)
		if err := (&Writer{&file}).WritePDU(bad); err == nil || file.Len() > 0 {
			t.Errorf("%s: %v, %d octets written", name, err, file.Len())
		}
	}
}
