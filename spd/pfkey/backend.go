// Package pfkey is the kernel's IPsec by PF_KEY version 2 (RFC 2367) with KAME's policy extensions, as Linux's af_key
// speaks it, and with SADB_X_MIGRATE (draft-sugimoto-mip6-pfkey-migrate, draft-ebalard-mext-pfkey-enhanced-migrate).
//
// What PF_KEY can't do, and XFRM on Linux can:
//   - It sees no sub-policies and no Mobile IPv6 states. Policies with Sub are refused, and no spd.CareOfState is
//     reported.
//   - Its algorithms are fewer: no AEAD cipher, no AES-CMAC, and no HMAC-SHA2-256, which Linux would truncate to 96
//     bits. Backend.Supports tells.
//   - A port, type or code of zero stands for any, so a policy for MH type 0 can't be said. One that was made by other
//     means reads as one for any type.
//   - A policy keeps a reqid only with level unique and only up to 16383. What would get lost is refused.
//   - Extended sequence numbers are refused; an anti-replay window of more than 32 packets is made one of 32. Without one
//     an SA ends after 2^32 packets all the same.
//   - SAs have no selector and no direction: that of an installed SA is ignored, and SAs lists neither.
//   - A MIGRATE keeps the UDP encapsulation of SAs as it is; spd.Migrate with Encap is refused.
//   - Policies that expire are not reported.
package pfkey

import (
	"errors"
	"fmt"
	"sync"

	"mipsecd/spd"
)

// Backend is an spd.Backend by PF_KEY.
type Backend struct {
	dialect *dialect
	// algorithms are what the kernel says that it has.
	auth, encrypt map[uint8]bool
	requests      *client // its socket is for requests only
	events        *listener
	close         func() error
}

var _ spd.Backend = (*Backend)(nil)

// open makes a Backend with two sockets: one for requests and their replies, one that is registered for ESP and AH, for
// all that the kernel reports.
func open(d *dialect, dial func() (conn, error)) (*Backend, error) {
	requests, err := dial()
	if err != nil {
		return nil, err
	}
	events, err := dial()
	if err != nil {
		return nil, errors.Join(err, requests.close())
	}
	b := &Backend{dialect: d, requests: newClient(d, requests)}
	b.events = newListener(d, events, b.requests)
	b.close = sync.OnceValue(func() error {
		close(b.events.stop)
		err := errors.Join(events.close(), requests.close())
		<-b.events.stopped
		return err
	})
	supported, err := b.events.register()
	if err != nil {
		return nil, errors.Join(err, events.close(), requests.close())
	}
	b.auth, b.encrypt = numbers(supported.authAlgs), numbers(supported.encrAlgs)
	go b.events.run()
	return b, nil
}

func numbers(algs []algorithm) map[uint8]bool {
	set := map[uint8]bool{}
	for _, a := range algs {
		set[a.id] = true
	}
	return set
}

// Supports reports whether the kernel takes SAs with these algorithms by PF_KEY. For AH encr is zero.
func (b *Backend) Supports(encr spd.Encr, integ spd.Integ) bool {
	return b.check(encr, integ) == nil
}

func (b *Backend) check(encr spd.Encr, integ spd.Integ) error {
	if number, ok := b.dialect.encr[encr]; encr != 0 && (!ok || !b.encrypt[number]) {
		return fmt.Errorf("%w: this kernel's PF_KEY has no %s", spd.ErrInvalid, encrName(encr))
	}
	if number, ok := b.dialect.integ[integ]; !ok || !b.auth[number] {
		return fmt.Errorf("%w: this kernel's PF_KEY has no %s", spd.ErrInvalid, integName(integ))
	}
	return nil
}

// AllocSPI implements spd.Backend, by SADB_GETSPI.
func (b *Backend) AllocSPI(l spd.LarvalSA) (uint32, error) {
	req, err := larvalMessage(l)
	if err != nil {
		return 0, err
	}
	reply, err := b.requests.do(req)
	if err != nil {
		return 0, err
	}
	id, ok := reply.said()
	if !ok {
		return 0, fmt.Errorf("%s: the reply has no SPI", reply.typ)
	}
	return id.SPI, nil
}

// Install implements spd.Backend, by SADB_ADD or, where a larval SA stands, SADB_UPDATE. A Selector is ignored, and the
// anti-replay window is at most 32 packets. ErrInvalid names an algorithm that PF_KEY does not have.
func (b *Backend) Install(s spd.SA) error {
	if (s.Proto == spd.AH) != (s.Transform.Encr == 0) {
		return fmt.Errorf("%w: %s: must have a cipher with esp, and none with ah", spd.ErrInvalid, s)
	}
	if err := b.check(s.Transform.Encr, s.Transform.Integ); err != nil {
		return err
	}
	req, err := b.dialect.addMessage(s)
	if err != nil {
		return err
	}
	_, err = b.requests.do(req)
	if !errors.Is(err, spd.ErrExists) {
		return err
	}
	get, getErr := idMessage(sadbGet, s.ID())
	if getErr != nil {
		return getErr
	}
	there, getErr := b.requests.do(get)
	if getErr != nil || there.sa == nil || there.sa.state != stateLarval {
		return err
	}
	req.typ = sadbUpdate
	_, err = b.requests.do(req)
	return err
}

// Remove implements spd.Backend.
func (b *Backend) Remove(id spd.SAID) error {
	req, err := idMessage(sadbDelete, id)
	if err != nil {
		return err
	}
	_, err = b.requests.do(req)
	return err
}

// SAs implements spd.Backend. Dir and Selector are not known; an algorithm that this backend would not install is zero.
func (b *Backend) SAs() ([]spd.SA, error) {
	var all []spd.SA
	err := b.requests.dump(sadbDump, func(m *message) error {
		if s, ok := b.dialect.saOf(m); ok {
			all = append(all, s)
		}
		return nil
	})
	return all, err
}

// AddPolicy implements spd.Backend. ErrInvalid says what PF_KEY can't express.
func (b *Backend) AddPolicy(p spd.Policy) error { return b.putPolicy(sadbSPDAdd, p) }

// UpdatePolicy implements spd.Backend. ErrInvalid says what PF_KEY can't express.
func (b *Backend) UpdatePolicy(p spd.Policy) error { return b.putPolicy(sadbSPDUpdate, p) }

func (b *Backend) putPolicy(t msgType, p spd.Policy) error {
	req, err := b.dialect.policyMessage(t, p)
	if err != nil {
		return err
	}
	_, err = b.requests.do(req)
	return err
}

// RemovePolicy implements spd.Backend.
func (b *Backend) RemovePolicy(k spd.PolicyKey) error {
	req, err := b.dialect.keyMessage(sadbSPDDelete, k)
	if err != nil {
		return err
	}
	_, err = b.requests.do(req)
	return err
}

// Policies implements spd.Backend.
func (b *Backend) Policies() ([]spd.Policy, error) { return b.requests.policies() }

// Migrate implements spd.Backend. The policy's selector must be the kernel's exactly, MH type included, although the
// kernel's report of it will lack the type.
func (b *Backend) Migrate(g spd.Migrate) error {
	req, err := b.dialect.migrateMessage(g)
	if err != nil {
		return err
	}
	return b.requests.migrate(req)
}

// Events implements spd.Backend. A MIGRATE's report lacks the type or the ports of the selector: they are those of the
// policy in a list of the SPD, made afterwards, that has the report's addresses, protocol and direction and, where
// several have, the template with the protocol, mode and reqid of the change; unset when it is gone. Listing costs in
// proportion to the SPD: with thousands of policies XFRM, whose report has the type, is the better backend.
//
// An EventsLost may be premature: Linux does not report a loss, only that there may have been no room. It comes when
// there is room again, and also in place of a message that makes no sense.
func (b *Backend) Events() <-chan spd.Event { return b.events.events }

// Close implements spd.Backend.
func (b *Backend) Close() error { return b.close() }
