//go:build linux

package interop

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"

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

// kernelSAs lists a host's ESP SAs, sorted. What waits for an SA has none: its SPI is zero.
func kernelSAs(t *testing.T, n lab.Node) (list []esp) {
	t.Helper()
	var states []netlink.XfrmState
	must(t, n.Do(func() (err error) {
		states, err = netlink.XfrmStateList(netlink.FAMILY_ALL)
		return err
	}))
	for _, s := range states {
		if s.Proto != netlink.XFRM_PROTO_ESP || s.Spi == 0 {
			continue
		}
		src, _ := netip.AddrFromSlice(s.Src)
		dst, _ := netip.AddrFromSlice(s.Dst)
		list = append(list, esp{src.Unmap(), dst.Unmap(), uint32(s.Spi), s.Mode.String(), s.Reqid, int(s.Statistics.Packets)})
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
