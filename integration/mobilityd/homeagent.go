//go:build linux

package mobilityd

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"mipsecd/mobility"
	"mipsecd/spd"
)

// HomeAgent keeps the binding of one mobile node.
type HomeAgent struct {
	Config
	conn *net.IPConn

	mu       sync.Mutex
	careOf   netip.Addr // HomeAddress while there is no binding
	sequence uint16     // of the latest accepted Binding Update
	known    bool       // there has been one
	failure  error
}

// StartHomeAgent starts on the calling thread's network namespace. It needs root.
func StartHomeAgent(c Config) (*HomeAgent, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	h := &HomeAgent{Config: c, careOf: c.HomeAddress}
	setup := []string{addPolicy(c.homeOption(spd.In))}
	if !c.Beside {
		setup = append(setup, anyCareOf(spd.HomeOpt))
	}
	if c.Migrator != nil {
		setup = append(setup, c.addBinding(atHA)...)
	}
	if err := c.run(setup...); err != nil {
		return nil, err
	}
	var err error
	if h.conn, err = listen(c.HomeAgent); err != nil {
		return nil, err
	}
	go h.receive()
	return h, nil
}

// Close stops listening. What is in the kernel stays.
func (h *HomeAgent) Close() error { return h.conn.Close() }

// CareOf is where the mobile node is, by its latest accepted Binding Update: its HomeAddress when at home.
func (h *HomeAgent) CareOf() netip.Addr {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.careOf
}

// Err is why the kernel refused a binding, or an acknowledgement to be sent; nil if it never did.
func (h *HomeAgent) Err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failure
}

func (h *HomeAgent) receive() {
	for {
		message, from, err := receive(h.conn)
		if err != nil {
			return
		}
		if bu, ok := message.(mobility.BindingUpdate); ok && from == h.HomeAddress {
			h.answer(bu, from)
		}
	}
}

// answer handles a Binding Update (RFC 6275 sections 9.5.1, 10.3.1 and 10.3.2). The kernel has put the HoA in the place of
// the source address.
func (h *HomeAgent) answer(bu mobility.BindingUpdate, from netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ack := mobility.BindingAck{Sequence: bu.Sequence, KeyMobility: bu.KeyMobility && h.KeyMobility}
	switch {
	case !bu.HomeReg:
		ack.Status = mobility.StatusNotHomeAgent
	case h.known && int16(bu.Sequence-h.sequence) <= 0:
		ack.Status, ack.Sequence = mobility.StatusSequenceOutOfWindow, h.sequence
	default:
		careOf := bu.CareOf
		if !careOf.IsValid() || bu.Lifetime == 0 {
			careOf = h.HomeAddress
		}
		if err := h.bind(careOf); err != nil {
			h.failure = errors.Join(h.failure, fmt.Errorf("binding to %s: %w", careOf, err))
			ack.Status = mobility.StatusInsufficientResources
			break
		}
		h.careOf, h.sequence, h.known = careOf, bu.Sequence, true
		ack.Lifetime = min(bu.Lifetime, h.Lifetime)
		if h.Duplicate {
			ack.Status, ack.Lifetime = mobility.StatusDADFailed, 0
		}
	}
	if err := send(h.conn, ack, from); err != nil {
		h.failure = errors.Join(h.failure, fmt.Errorf("sending a Binding Acknowledgement: %w", err))
	}
	if ack.Status == mobility.StatusDADFailed { // the binding was for the acknowledgement's way alone
		h.failure = errors.Join(h.failure, h.bind(h.HomeAddress))
		h.careOf = h.HomeAddress
	}
}

// Withdraw closes, and takes out of the kernel what is there. The policies must be the IPsec agent's.
func (h *HomeAgent) Withdraw() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return errors.Join(h.Close(), h.unbind(), h.run(deletePolicy(h.homeOption(spd.In).PolicyKey),
		deleteCareOf(spd.HomeOpt, anyone)))
}

// bind makes the kernel send to careOf what is for the mobile node.
func (h *HomeAgent) bind(careOf netip.Addr) error {
	switch h.HomeAddress {
	case careOf:
		return h.unbind()
	case h.careOf:
		return h.create(careOf)
	}
	err := h.run(updateCareOf(spd.HomeOpt, h.upward(), careOf), updateCareOf(spd.Route2, h.downward(), careOf))
	if err != nil || h.Migrator == nil || careOf == h.careOf {
		return err
	}
	return errors.Join(h.migrateBinding(atHA, careOf), h.migrateTunnels(atHA, h.careOf, careOf))
}

func (h *HomeAgent) create(careOf netip.Addr) error {
	commands := []string{
		addCareOf(spd.HomeOpt, h.upward(), careOf), addCareOf(spd.Route2, h.downward(), careOf),
		addPolicy(h.routeType2(spd.Out)),
		fmt.Sprintf("neigh add proxy %s dev %s", h.HomeAddress, h.HomeLink),
	}
	if h.Migrator == nil {
		return h.run(commands...)
	}
	commands = append(commands, addPolicy(h.hold()))
	commands = append(commands, h.addTunnels(atHA)...)
	if err := h.run(commands...); err != nil {
		return err
	}
	return errors.Join(h.migrateBinding(atHA, careOf), h.migrateTunnels(atHA, h.HomeAddress, careOf),
		h.run(deletePolicy(h.hold().PolicyKey)))
}

// unbind deletes the binding. UMIP's second MIGRATE of the tunnels, from the HoA to the HoA, changes nothing.
func (h *HomeAgent) unbind() error {
	if h.careOf == h.HomeAddress {
		return nil
	}
	commands := []string{
		deletePolicy(h.routeType2(spd.Out).PolicyKey),
		deleteCareOf(spd.Route2, h.downward()), deleteCareOf(spd.HomeOpt, h.upward()),
		fmt.Sprintf("neigh del proxy %s dev %s", h.HomeAddress, h.HomeLink),
	}
	if h.Migrator != nil {
		err := errors.Join(h.migrateBinding(atHA, h.HomeAddress), h.migrateTunnels(atHA, h.careOf, h.HomeAddress),
			h.migrateTunnels(atHA, h.HomeAddress, h.HomeAddress))
		if err != nil {
			return err
		}
		commands = append(h.removeTunnels(atHA), commands...)
	}
	return h.run(commands...)
}
