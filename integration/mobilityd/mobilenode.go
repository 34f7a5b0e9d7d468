//go:build linux

package mobilityd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"mipsecd/mobility"
	"mipsecd/spd"
)

// Retransmission of Binding Updates (RFC 6275 sections 11.8 and 12).
const (
	initialTimeout = 1500 * time.Millisecond
	maxTimeout     = 32 * time.Second
)

// MobileNode registers where it is with its home agent. One movement at a time.
type MobileNode struct {
	Config
	conn     *net.IPConn
	acks     chan mobility.BindingAck
	careOf   netip.Addr // HomeAddress at home
	sequence uint16
}

// StartMobileNode starts at home, on the calling thread's network namespace, where HomeAddress must be configured with
// the flag "home". It needs root.
func StartMobileNode(c Config) (*MobileNode, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	m := &MobileNode{Config: c, careOf: c.HomeAddress, acks: make(chan mobility.BindingAck, 16)}
	setup := []string{anyCareOf(spd.Route2), addPolicy(c.routeType2(spd.In))}
	if c.Migrator != nil {
		setup = append(setup, c.addBinding(atMN)...)
	}
	if err := c.run(setup...); err != nil {
		return nil, err
	}
	var err error
	if m.conn, err = listen(c.HomeAddress); err != nil {
		return nil, err
	}
	go m.receive()
	return m, nil
}

// Close stops listening. What is in the kernel stays.
func (m *MobileNode) Close() error { return m.conn.Close() }

// Withdraw closes after the first movement was refused, and takes out of the kernel what is there. The policies must be the
// IPsec agent's.
func (m *MobileNode) Withdraw() error {
	commands := append(m.removeBarrier(), deletePolicy(m.homeOption(spd.Out).PolicyKey), deleteCareOf(spd.HomeOpt, m.upward()),
		deletePolicy(m.routeType2(spd.In).PolicyKey), deleteCareOf(spd.Route2, anyone))
	return errors.Join(m.Close(), m.run(commands...))
}

// Move tells the home agent that the mobile node is now at a CoA on a foreign link, and waits for its answer.
func (m *MobileNode) Move(ctx context.Context, careOf netip.Addr) (mobility.BindingAck, error) {
	leaving, old := m.careOf == m.HomeAddress, m.careOf
	var commands []string
	if leaving {
		commands = append(commands, addCareOf(spd.HomeOpt, m.upward(), careOf), addPolicy(m.homeOption(spd.Out)))
		for _, p := range m.barrier() {
			commands = append(commands, addPolicy(p))
		}
		if m.Migrator != nil {
			commands = append(commands, m.addTunnels(atMN)...)
		}
	} else {
		commands = append(commands, updateCareOf(spd.HomeOpt, m.upward(), careOf))
	}
	if err := m.run(commands...); err != nil {
		return mobility.BindingAck{}, err
	}
	m.careOf = careOf
	if m.Migrator != nil {
		if err := errors.Join(m.migrateBinding(atMN, careOf), m.migrateTunnels(atMN, old, careOf)); err != nil {
			return mobility.BindingAck{}, err
		}
	}
	ack, err := m.register(ctx, mobility.BindingUpdate{CareOf: careOf, Lifetime: m.Lifetime})
	if err != nil || !leaving {
		return ack, err
	}
	return ack, m.run(m.removeBarrier()...)
}

// ReturnHome tells the home agent that the mobile node is on its home link, and waits for its answer.
func (m *MobileNode) ReturnHome(ctx context.Context) (mobility.BindingAck, error) {
	old := m.careOf
	m.careOf = m.HomeAddress
	var commands []string
	if m.Migrator != nil {
		if err := m.migrateTunnels(atMN, old, m.HomeAddress); err != nil {
			return mobility.BindingAck{}, err
		}
		commands = m.removeTunnels(atMN)
	}
	commands = append(commands, deletePolicy(m.homeOption(spd.Out).PolicyKey), deleteCareOf(spd.HomeOpt, m.upward()))
	if err := m.run(commands...); err != nil {
		return mobility.BindingAck{}, err
	}
	if m.Migrator != nil {
		if err := m.migrateBinding(atMN, m.HomeAddress); err != nil {
			return mobility.BindingAck{}, err
		}
	}
	return m.register(ctx, mobility.BindingUpdate{})
}

func (m *MobileNode) removeBarrier() (commands []string) {
	for _, p := range m.barrier() {
		commands = append(commands, deletePolicy(p.PolicyKey))
	}
	return commands
}

// register sends a Binding Update until one of its transmissions is acknowledged, each with the next sequence number.
func (m *MobileNode) register(ctx context.Context, bu mobility.BindingUpdate) (mobility.BindingAck, error) {
	bu.Ack, bu.HomeReg, bu.KeyMobility = true, true, m.KeyMobility
	first := m.sequence + 1
	var sendErr error // a kernel may refuse to send while there is no SA
	for timeout := initialTimeout; ; timeout = min(2*timeout, maxTimeout) {
		m.sequence++
		bu.Sequence = m.sequence
		sendErr = send(m.conn, bu, m.HomeAgent)
		ack, err := m.await(ctx, first, timeout)
		switch {
		case errors.Is(err, errNoAnswer):
		case err != nil:
			return ack, errors.Join(err, sendErr)
		case ack.Status == mobility.StatusSequenceOutOfWindow:
			m.sequence = ack.Sequence
			first = m.sequence + 1
		case !ack.Status.Accepted():
			return ack, fmt.Errorf("the home agent refused the binding: %s", ack.Status)
		default:
			return ack, nil
		}
	}
}

var errNoAnswer = errors.New("no Binding Acknowledgement")

// await waits for the answer to one of the Binding Updates from first on.
func (m *MobileNode) await(ctx context.Context, first uint16, timeout time.Duration) (mobility.BindingAck, error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		select {
		case ack, open := <-m.acks:
			if !open {
				return ack, net.ErrClosed
			}
			if ack.Status == mobility.StatusSequenceOutOfWindow || ack.Sequence-first <= m.sequence-first {
				return ack, nil
			}
		case <-timer.C:
			return mobility.BindingAck{}, errNoAnswer
		case <-ctx.Done():
			return mobility.BindingAck{}, fmt.Errorf("%v: %w", errNoAnswer, ctx.Err())
		}
	}
}

func (m *MobileNode) receive() {
	defer close(m.acks)
	for {
		message, from, err := receive(m.conn)
		if err != nil {
			return
		}
		if ack, ok := message.(mobility.BindingAck); ok && from == m.HomeAgent {
			m.acks <- ack
		}
	}
}
