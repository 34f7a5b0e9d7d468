//go:build linux

package interop

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"mipsecd/integration/lab"
)

// traffic is a kind of traffic that is protected by a Child SA of its own.
type traffic struct {
	name                 string // in the configuration of the peer
	mode                 string
	mobile, home         netip.Addr // ends of the SAs
	reqidToHA, reqidToMN int        // mipsecd's
	policies             string     // on mipsecd's host where mipsecd has none of its own: what ip xfrm needs to know
}

var (
	// binding is Binding Updates and Acknowledgements: SAs on the home address, wherever the mobile node is.
	binding = traffic{name: "binding", mode: "transport", mobile: lab.HoA, home: lab.HomeAgent,
		reqidToHA: reqidBU, reqidToMN: reqidBA}
	// payload is all traffic of the home address, in a tunnel from the care-of address.
	payload = traffic{name: "payload", mode: "tunnel", mobile: careOf, home: lab.HomeAgent,
		reqidToHA: reqidPayloadToHA, reqidToMN: reqidPayloadToMN}
	// agent is all traffic of the home address with the home agent itself, in a tunnel of its own.
	agent = traffic{name: "agent", mode: "tunnel", mobile: careOf, home: lab.HomeAgent,
		reqidToHA: 2000, reqidToMN: 2001, policies: "priority 3"}
	// direct is TCP between the mobile node at home and the home agent.
	direct = traffic{name: "direct", mode: "transport", mobile: lab.HoA, home: lab.HomeAgent,
		reqidToHA: 2002, reqidToMN: 2003, policies: "proto tcp priority 3"}
)

// addPolicies puts the policies for a kind of traffic on a host, if mipsecd there has none of its own.
func (k traffic) addPolicies(t *testing.T, n lab.Node) {
	t.Helper()
	if k.policies == "" {
		return
	}
	out, in := "out", "in"
	if n == lab.HA {
		out, in = in, out
	}
	template := func(src, dst netip.Addr, reqid int) string {
		return fmt.Sprintf("tmpl src %s dst %s proto esp mode %s reqid %d", src, dst, k.mode, reqid)
	}
	must(t, n.IP(fmt.Sprintf("xfrm policy add src %[1]s dst %[2]s %[3]s dir %[4]s %[6]s\n"+
		"xfrm policy add src %[2]s dst %[1]s %[3]s dir %[5]s %[7]s", lab.HoA, lab.HomeAgent, k.policies, out, in,
		template(k.mobile, k.home, k.reqidToHA), template(k.home, k.mobile, k.reqidToMN))))
}

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

// call makes traffic of one kind pass, both ways. On the mobile node it makes the kernel call for the SAs that are
// missing.
func (w *world) call(t *testing.T, k traffic) {
	t.Helper()
	switch k {
	case binding:
		w.register(t)
	case payload:
		ping(t, lab.MN)
	case agent:
		_, err := lab.MN.Run("ping", append(untilAnswered, "-I", lab.HoA.String(), lab.HomeAgent.String())...)
		must(t, err)
	case direct:
		must(t, exchange())
	}
}

// exchange has the mobile node send a line to the home agent by TCP, and the home agent send it back.
func exchange() error {
	const port = 7 // echo
	at := &net.TCPAddr{IP: lab.HomeAgent.AsSlice(), Port: port}
	var listener net.Listener
	err := lab.HA.Do(func() (err error) {
		listener, err = net.ListenTCP("tcp6", at)
		return err
	})
	if err != nil {
		return err
	}
	defer listener.Close()
	go func() {
		if conn, err := listener.Accept(); err == nil {
			defer conn.Close()
			line, _ := bufio.NewReader(conn).ReadString('\n')
			fmt.Fprint(conn, line)
		}
	}()
	var conn net.Conn
	err = lab.MN.Do(func() (err error) {
		conn, err = (&net.Dialer{Timeout: patience}).Dial("tcp6", at.String())
		return err
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	const line = "hello\n"
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	fmt.Fprint(conn, line)
	if got, err := bufio.NewReader(conn).ReadString('\n'); got != line {
		return fmt.Errorf("the echo of %q is %q, %v", line, got, err)
	}
	return nil
}
