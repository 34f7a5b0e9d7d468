package sim

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"mipsecd/internal/vnet"
	"mipsecd/mobility"
	"mipsecd/spd"
	"mipsecd/spd/memory"
)

// bindingLifetime is asked for in every Binding Update.
const bindingLifetime = 10 * time.Minute

// retransmitBU is the wait before a Binding Update is sent again; RFC 6275 section 12 has a second, a story wants less.
const retransmitBU = 100 * time.Millisecond

// MobileDaemon is the mobile node's mobility daemon: it tells the kernel where the node is, and the home agent by
// Binding Updates. Keys are not its business.
type MobileDaemon struct {
	*Host
	home, homeAgent netip.Addr
	sequence        uint16
	acks            chan mobility.BindingAck
}

// NewMobileDaemon starts the daemon on a host.
func NewMobileDaemon(h *Host, home, homeAgent netip.Addr) *MobileDaemon {
	d := &MobileDaemon{Host: h, home: home, homeAgent: homeAgent, acks: make(chan mobility.BindingAck, 16)}
	h.Receive = d.received
	return d
}

// Register binds the home address to a care-of address, and returns when the home agent has agreed. A CoA that is the
// home address deletes the binding.
func (d *MobileDaemon) Register(ctx context.Context, careOf netip.Addr) error {
	d.Kernel.SetCareOf(spd.CareOfState{
		Proto: spd.HomeOpt, Endpoints: spd.Endpoints{Src: d.home, Dst: d.homeAgent}, CareOf: careOf, Gone: careOf == d.home,
	})
	d.sequence++
	bu := mobility.BindingUpdate{Sequence: d.sequence, Ack: true, HomeReg: true, KeyMobility: true, CareOf: careOf, Lifetime: bindingLifetime}
	if careOf == d.home {
		bu.Lifetime = 0
	}
	mh, err := bu.Marshal()
	if err != nil {
		return err
	}
	for {
		err := d.Send(memory.Packet{Src: d.home, Dst: d.homeAgent, Proto: spd.ProtoMH, Payload: mh})
		switch {
		case err == nil:
			d.Say("Binding Update %d leaves inside ESP: %s is at %s", bu.Sequence, d.home, careOf)
		case errors.Is(err, memory.ErrHeld):
			d.Say("Binding Update %d waits for an SA", bu.Sequence)
		default:
			return err
		}
		select {
		case ack := <-d.acks:
			if ack.Sequence != bu.Sequence {
				continue
			}
			d.Say("Binding Acknowledgement %d: %s", ack.Sequence, ack.Status)
			if !ack.Status.Accepted() {
				return fmt.Errorf("the home agent answers %s", ack.Status)
			}
			return nil
		case <-time.After(retransmitBU):
		case <-ctx.Done():
			return errors.New("no Binding Acknowledgement came")
		}
	}
}

// received takes a packet to the mobile node: a Binding Acknowledgement, or a ping to be answered.
func (d *MobileDaemon) received(p memory.Packet) {
	if p.Proto != spd.ProtoMH {
		answerPing(d.Host, p)
		return
	}
	if m, err := mobility.ParseMH(p.Payload); err == nil {
		if ack, ok := m.(mobility.BindingAck); ok {
			select {
			case d.acks <- ack:
			default: // nobody waits for it any more
			}
		}
	}
}

// HomeDaemon is the home agent's mobility daemon: it keeps the binding and, while the mobile node is away, stands in for
// its home address on the home link.
type HomeDaemon struct {
	*Host
	address netip.Addr
	link    *vnet.Link
}

// NewHomeDaemon starts the daemon on a host that has its address on the home link.
func NewHomeDaemon(h *Host, address netip.Addr, link *vnet.Link) *HomeDaemon {
	d := &HomeDaemon{Host: h, address: address, link: link}
	h.Receive = d.received
	return d
}

// received takes a packet to the home agent. A Binding Update that gets here has passed the policy that wants it in ESP.
func (d *HomeDaemon) received(p memory.Packet) {
	if p.Proto != spd.ProtoMH {
		return
	}
	m, err := mobility.ParseMH(p.Payload)
	bu, ok := m.(mobility.BindingUpdate)
	if err != nil || !ok {
		return
	}
	home := p.Src
	d.Say("Binding Update %d came inside ESP: %s is at %s", bu.Sequence, home, bu.CareOf)
	atHome := bu.Lifetime == 0
	for _, s := range []spd.CareOfState{
		{Proto: spd.HomeOpt, Endpoints: spd.Endpoints{Src: home, Dst: d.address}},
		{Proto: spd.Route2, Endpoints: spd.Endpoints{Src: d.address, Dst: home}},
	} {
		s.CareOf, s.Gone = bu.CareOf, atHome
		d.Kernel.SetCareOf(s)
	}
	ack := mobility.BindingAck{Sequence: bu.Sequence, KeyMobility: bu.KeyMobility, Lifetime: bu.Lifetime}
	if atHome {
		d.Node.Release(home)
	} else if !d.Node.Owns(home) {
		if err := d.Node.Attach(d.link, home); err != nil {
			ack.Status = mobility.StatusUnspecified
		}
	}
	if mh, err := ack.Marshal(); err == nil {
		if err := d.Send(memory.Packet{Src: d.address, Dst: home, Proto: spd.ProtoMH, Payload: mh}); err != nil {
			d.Say("Binding Acknowledgement %d does not leave: %v", ack.Sequence, err)
		}
	}
}
