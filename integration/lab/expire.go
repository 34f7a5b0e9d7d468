//go:build linux

package lab

import (
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"mipsecd/spd"
)

// SoftExpire makes a host's kernel report that an SA has reached its soft lifetime, as it does by itself in time.
func SoftExpire(t testing.TB, n Node, id spd.SAID) {
	t.Helper()
	err := n.Do(func() error {
		sa := nl.XfrmUsersaInfo{Family: unix.AF_INET6}
		if id.Dst.Is4() {
			sa.Family = unix.AF_INET
		}
		sa.Id.Daddr.FromIP(id.Dst.AsSlice())
		sa.Id.Proto = id.Proto
		sa.Id.Spi = nl.Swap32(id.SPI)
		req := nl.NewNetlinkRequest(nl.XFRM_MSG_EXPIRE, unix.NLM_F_ACK)
		req.AddRawData(append(sa.Serialize(), make([]byte, 8)...)) // not hard, and padding
		_, err := req.Execute(unix.NETLINK_XFRM, 0)
		return err
	})
	if err != nil {
		t.Fatalf("%s: soft lifetime of %s: %v", n, id, err)
	}
}
