//go:build linux

package interop

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"mipsecd/integration/lab"
)

// esp is an ESP SA as a host's kernel has it.
type esp struct {
	src, dst netip.Addr
	spi      uint32
	mode     string
	reqid    int
	packets  int // that have used it
}

func (e esp) String() string {
	return fmt.Sprintf("%s -> %s %08x %s reqid %d", e.src, e.dst, e.spi, e.mode, e.reqid)
}

var (
	espLine     = regexp.MustCompile(`^src (\S+) dst (\S+)\s+proto esp spi 0x([0-9a-f]{8})\(\d+\) reqid (\d+)\(0x[0-9a-f]+\) mode (\w+)`)
	packetsLine = regexp.MustCompile(`lifetime current:\s+\d+\(bytes\), (\d+)\(packets\)`)
)

// kernelSAs lists a host's ESP SAs, sorted. What waits for an SA has none: its SPI is zero.
func kernelSAs(t *testing.T, n lab.Node) (list []esp) {
	t.Helper()
	out, err := n.Run("ip", "-s", "xfrm", "state", "list", "proto", "esp")
	must(t, err)
	for state := range strings.SplitSeq("\n"+out, "\nsrc ") {
		if strings.TrimSpace(state) == "" {
			continue
		}
		head, packets := espLine.FindStringSubmatch("src "+state), packetsLine.FindStringSubmatch(state)
		if head == nil || packets == nil {
			t.Fatalf("unknown output of ip xfrm state:\n%s", state)
		}
		spi, _ := strconv.ParseUint(head[3], 16, 32)
		reqid, _ := strconv.Atoi(head[4])
		used, _ := strconv.Atoi(packets[1])
		if spi != 0 {
			list = append(list, esp{netip.MustParseAddr(head[1]), netip.MustParseAddr(head[2]), uint32(spi), head[5], reqid, used})
		}
	}
	slices.SortFunc(list, func(a, b esp) int {
		return cmp.Or(a.dst.Compare(b.dst), a.src.Compare(b.src), cmp.Compare(a.spi, b.spi))
	})
	return list
}

// traffic is a kind of traffic that is protected by a Child SA of its own.
type traffic struct {
	name                 string // in the configuration of the peer
	mode                 string
	mobile, home         netip.Addr // ends of the SAs
	reqidToHA, reqidToMN int        // mipsecd's
}

var (
	// binding is Binding Updates and Acknowledgements: SAs on the home address, wherever the mobile node is.
	binding = traffic{"binding", "transport", lab.HoA, lab.HomeAgent, reqidBU, reqidBA}
	// payload is all traffic of the home address, in a tunnel from the care-of address.
	payload = traffic{"payload", "tunnel", careOf, lab.HomeAgent, reqidPayloadToHA, reqidPayloadToMN}
)

// spis are those of a Child SA's two SAs.
type spis struct{ toHA, toMN uint32 }

// find picks the SAs of one kind of traffic out of those of mipsecd's host.
func (k traffic) find(sas []esp) (found spis, err error) {
	one := func(src, dst netip.Addr, reqid int) (spi uint32) {
		for _, sa := range sas {
			if sa.src == src && sa.dst == dst && sa.mode == k.mode && sa.reqid == reqid {
				if spi != 0 {
					err = fmt.Errorf("two %s SAs from %s to %s with reqid %d", k.mode, src, dst, reqid)
				}
				spi = sa.spi
			}
		}
		if spi == 0 {
			err = fmt.Errorf("no %s SA from %s to %s with reqid %d, but %v", k.mode, src, dst, reqid, sas)
		}
		return spi
	}
	return spis{one(k.mobile, k.home, k.reqidToHA), one(k.home, k.mobile, k.reqidToMN)}, err
}

// has checks that both SAs with these SPIs are among those of the peer's host.
func (k traffic) has(sas []esp, s spis) error {
	one := func(src, dst netip.Addr, spi uint32) error {
		if !slices.ContainsFunc(sas, func(e esp) bool {
			return e.src == src && e.dst == dst && e.mode == k.mode && e.spi == spi
		}) {
			return fmt.Errorf("no %s SA from %s to %s with SPI %08x, but %v", k.mode, src, dst, spi, sas)
		}
		return nil
	}
	return errors.Join(one(k.mobile, k.home, s.toHA), one(k.home, k.mobile, s.toMN))
}

// packets is how many packets have used the SAs with these SPIs on a host.
func (s spis) packets(sas []esp) (toHA, toMN int) {
	for _, sa := range sas {
		switch sa.spi {
		case s.toHA:
			toHA = sa.packets
		case s.toMN:
			toMN = sa.packets
		}
	}
	return toHA, toMN
}
