package discovery

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"mipsecd/configs"
)

// zone is what a name server knows: by name and type.
type zone map[dnsmessage.Question][]dnsmessage.ResourceBody

func (z zone) add(name string, t dnsmessage.Type, records ...dnsmessage.ResourceBody) {
	z[dnsmessage.Question{Name: dnsmessage.MustNewName(name), Type: t, Class: dnsmessage.ClassINET}] = records
}

// resolver asks the zone, over connections that lead nowhere else.
func (z zone) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go z.serve(server)
		return client, nil
	}}
}

// serve answers as over TCP: the length goes before each message.
func (z zone) serve(conn net.Conn) {
	defer conn.Close()
	for {
		var length [2]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		var m dnsmessage.Message
		if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
			return
		}
		q := m.Questions[0]
		m.Response, m.Additionals = true, nil
		records, known := z[q]
		if !known {
			m.RCode = dnsmessage.RCodeNameError
		}
		for _, r := range records {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60}, Body: r,
			})
		}
		out, err := m.AppendPack(length[:])
		if err != nil {
			return
		}
		binary.BigEndian.PutUint16(out, uint16(len(out)-2))
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

func aaaa(a string) *dnsmessage.AAAAResource {
	return &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr(a).As16()}
}

func server(priority uint16, name string) *dnsmessage.SRVResource {
	return &dnsmessage.SRVResource{Priority: priority, Weight: 1, Port: 1, Target: dnsmessage.MustNewName(name)}
}

// Home agents are found by their names and by the domain that they serve, in the order of their priority.
func TestRFC5026_5_1_NamesInDNS(t *testing.T) {
	z := zone{}
	z.add("ha1.example.org.", dnsmessage.TypeAAAA, aaaa("2001:db8:1::1"))
	z.add("ha2.example.org.", dnsmessage.TypeAAAA, aaaa("2001:db8:1::2"), aaaa("2001:db8:2::2"))
	z.add("local.example.org.", dnsmessage.TypeAAAA, aaaa("fe80::1"), aaaa("::1"))
	z.add("_mip6._ipv6.example.org.", dnsmessage.TypeSRV,
		server(20, "ha1.example.org."), server(10, "ha2.example.org."), server(5, "gone.example.org."), server(30, "ha1.example.org."))
	z.add("_mip6._ipv6.example.com.", dnsmessage.TypeSRV, server(1, "gone.example.com."), server(2, "local.example.org."))
	f := &Finder{Resolver: z.resolver()}
	for _, c := range []struct {
		by   configs.Discovery
		want string // the addresses, or what the error says
	}{
		{configs.Discovery{Host: "ha1.example.org."}, "2001:db8:1::1"},
		{configs.Discovery{Host: "ha2.example.org."}, "2001:db8:1::2 2001:db8:2::2"},
		{configs.Discovery{Host: "gone.example.org."}, "no such host"},
		{configs.Discovery{Host: "local.example.org."}, "local.example.org. has no global unicast IPv6 address"},
		{configs.Discovery{Service: "example.org."}, "2001:db8:1::2 2001:db8:2::2 2001:db8:1::1"},
		{configs.Discovery{Service: "example.net."}, "lookup _mip6._ipv6.example.net."},
		{configs.Discovery{Service: "example.com."}, "no home agent of example.com. has an address"},
	} {
		list, err := f.Find(t.Context(), c.by, netip.Addr{})
		slices.SortFunc(list[:min(2, len(list))], netip.Addr.Compare) // the order of one name's addresses is anybody's
		var got []string
		for _, a := range list {
			got = append(got, a.String())
		}
		switch {
		case err != nil && (len(list) > 0 || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%+v: %s, %v, want %s", c.by, list, err, c.want)
		case err == nil && strings.Join(got, " ") != c.want:
			t.Errorf("%+v: %s, want %s", c.by, got, c.want)
		}
	}
}
