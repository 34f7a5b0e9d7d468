package udp

import (
	"fmt"
	"testing"
)

// TestAddressesComeMoveAndGo has one socket serve what addresses there are, while a peer at another address goes on: no
// datagram of that one is lost, whatever happens to the others.
func TestAddressesComeMoveAndGo(t *testing.T) {
	ns := newNamespace(t)
	const steady, roaming, peer = "2001:db8::1", "2001:db8:2::5", "2001:db8::9"
	for _, link := range []string{"eth0", "eth1"} {
		ns.ip(t, "link add "+link+" type veth peer name far-"+link)
		ns.ip(t, "link set "+link+" up")
		ns.ip(t, "link set far-"+link+" up")
	}
	ns.addr(t, steady+"/128", "dev lo nodad")
	ns.addr(t, peer+"/128", "dev lo nodad")
	host, far := ns.listen(t, ikePort), ns.listen(t, otherEnd)

	sent := 0
	exchange := func(addr string) error {
		sent++
		here, there, data := at(addr, ikePort), at(peer, otherEnd), fmt.Sprint(sent)
		if err := ns.send(far, Datagram{Local: there, Remote: here, Data: []byte(data)}); err != nil {
			return err
		}
		expect(t, receive(t, host), here, there, data)
		if err := ns.send(host, Datagram{Local: here, Remote: there, Data: []byte(data)}); err != nil {
			return err
		}
		expect(t, receive(t, far), there, here, data)
		return nil
	}
	for _, step := range []struct {
		name   string
		change func()
		there  bool
	}{
		{"before", func() {}, false},
		{"appears", func() { ns.addr(t, roaming+"/64", "dev eth0 nodad") }, true},
		{"is deprecated", func() { ns.ip(t, "addr change "+roaming+"/64 dev eth0 preferred_lft 0") }, true},
		{"moves to another interface", func() {
			ns.ip(t, "addr del "+roaming+"/64 dev eth0")
			ns.addr(t, roaming+"/64", "dev eth1 nodad")
		}, true},
		{"stays while an interface goes", func() { ns.ip(t, "link del eth0") }, true},
		{"disappears", func() { ns.ip(t, "link del eth1") }, false},
		{"appears again", func() { ns.addr(t, roaming+"/128", "dev lo nodad") }, true},
	} {
		step.change()
		if step.there {
			if err := exchange(roaming); err != nil {
				t.Errorf("%s: %v", step.name, err)
			}
		} else if err := exchange(roaming); err == nil {
			t.Errorf("%s: a datagram has come to %s", step.name, roaming)
		}
		if err := exchange(steady); err != nil {
			t.Errorf("%s, at the other address: %v", step.name, err)
		}
	}
}
