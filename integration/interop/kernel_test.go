//go:build linux

package interop

import (
	"cmp"
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

// spis are those of a Child SA's two SAs.
type spis struct{ toHA, toMN uint32 }

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
