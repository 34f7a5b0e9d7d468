package pcapng

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// readAll reads a file until its end or an error.
func readAll(file []byte) (pdus []PDU, err error) {
	r := NewReader(bytes.NewReader(file))
	for {
		p, err := r.Next()
		if err != nil {
			return pdus, err
		}
		pdus = append(pdus, p)
	}
}

var pdus = []PDU{
	{Time: at, Dissector: "isakmp", Src: coa, Dst: homeAgent, Data: ikeAuth(), Comment: "mn.example.org sent é", Outbound: true},
	{Time: at.Add(1), Dissector: "isakmp", Src: homeAgent, Dst: coa, Data: []byte{1, 2, 3}},
	{Time: at, Dissector: "kink", Src: netip.MustParseAddrPort("192.0.2.1:5910"), Dst: netip.MustParseAddrPort("192.0.2.2:910"),
		Data: kinkCommand(), Comment: "over IPv4"},
}

func TestReaderReadsWhatWriterWrote(t *testing.T) {
	got, err := readAll(write(t, pdus...))
	if err != io.EOF {
		t.Errorf("ends with %v, want %v", err, io.EOF)
	}
	for i := range got {
		got[i].Time = got[i].Time.Local()
	}
	if !reflect.DeepEqual(got, pdus) {
		t.Errorf("got %+v\nwant %+v", got, pdus)
	}
}

// A file that was cut off yields the messages before the cut, and an error unless it was between two blocks.
func TestReaderOfACutFile(t *testing.T) {
	whole := write(t, pdus...)
	clean := map[int]int{len(write(t)): 0, len(write(t, pdus[0])): 1, len(write(t, pdus[:2]...)): 2}
	const sectionLen = 28
	clean[sectionLen] = 0
	for n := range whole {
		got, err := readAll(whole[:n])
		if want, ok := clean[n]; ok && (err != io.EOF || len(got) != want) {
			t.Errorf("cut at %d: %d messages and %v, want %d", n, len(got), err, want)
		} else if !ok && (err == nil || err == io.EOF) {
			t.Errorf("cut at %d: %d messages and %v, want an error", n, len(got), err)
		}
	}
}

func TestReaderRefuses(t *testing.T) {
	change := func(at int, b ...byte) []byte {
		file := write(t, pdus[0])
		copy(file[at:], b)
		return file
	}
	little := []byte{10, 13, 13, 10, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a}
	section, iface := write(t)[:28], write(t)[28:]
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"nothing":                 {nil, "the file is empty"},
		"the other byte order":    {little, "network byte order"},
		"another magic":           {change(8, 0x4d, 0x3c), "network byte order"},
		"another kind of file":    {[]byte("#!/bin/sh\necho no trace at all\n"), "want 12 to"},
		"no section":              {iface, "begins with a block"},
		"a packet without link":   {append(bytes.Clone(section), change(0)[len(write(t)):]...), "before the description"},
		"another link type":       {change(36, 0, 1), "link type 1, want 252"},
		"lengths that differ":     {change(24, 0, 0, 0, 12), "ends as one of 12"},
		"a packet that is longer": {change(len(write(t))+20, 0, 0, 0x7f, 0), "enhanced packet block"},
	} {
		_, err := readAll(c.file)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func FuzzReader(f *testing.F) {
	var file bytes.Buffer
	w, err := NewWriter(&file)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.Clone(file.Bytes()))
	for _, p := range pdus {
		if err := w.WritePDU(p); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(file.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := readAll(b)
		if err == nil {
			t.Fatal("no end")
		}
		total := 0
		for _, p := range got {
			total += len(p.Data)
		}
		if total > len(b) {
			t.Errorf("%d octets of messages in a file of %d", total, len(b))
		}
		if errors.Is(err, io.EOF) && len(b) < 28 {
			t.Errorf("a trace of %d octets", len(b))
		}
	})
}
