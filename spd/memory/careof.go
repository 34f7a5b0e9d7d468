package memory

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"mipsecd/internal/cursor"
	"mipsecd/spd"
)

type careOfKey struct {
	proto     uint8
	endpoints spd.Endpoints
}

// SetCareOf adds, changes or, when Gone, deletes a Mobile IPv6 state, as a mobility daemon does. Packets from its Src to
// its Dst carry the home address option (HomeOpt: on the wire they come from CareOf) or the type 2 routing header
// (Route2: on the wire they go to CareOf).
func (k *Kernel) SetCareOf(c spd.CareOfState) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key := (careOfKey{c.Proto, c.Endpoints}); c.Gone {
		delete(k.careOf, key)
	} else {
		k.careOf[key] = c.CareOf
	}
	k.report(c)
}

// CareOfStates lists the Mobile IPv6 states, in the order of their endpoints.
func (b *Backend) CareOfStates() ([]spd.CareOfState, error) {
	var all []spd.CareOfState
	err := b.transact(func(k *Kernel) error {
		for _, key := range slices.SortedFunc(maps.Keys(k.careOf), careOfKey.compare) {
			all = append(all, spd.CareOfState{Proto: key.proto, Endpoints: key.endpoints, CareOf: k.careOf[key]})
		}
		return nil
	})
	return all, err
}

func (a careOfKey) compare(b careOfKey) int {
	return cmp.Or(a.endpoints.Src.Compare(b.endpoints.Src), a.endpoints.Dst.Compare(b.endpoints.Dst),
		cmp.Compare(a.proto, b.proto))
}

// isUpper reports whether a header is none of those that Input takes off.
func isUpper(proto uint8) bool { return !isIPsec(proto) && proto != spd.HomeOpt && proto != spd.Route2 }

// addCareOf puts the headers of the packet's Mobile IPv6 states before its payload.
func (k *Kernel) addCareOf(p Packet) Packet {
	endpoints := spd.Endpoints{Src: p.Src, Dst: p.Dst}
	if coa, ok := k.careOf[careOfKey{spd.HomeOpt, endpoints}]; ok {
		p.Proto, p.Payload = spd.HomeOpt, homeAddressOption(p, p.Src)
		p.Src = coa
	}
	if coa, ok := k.careOf[careOfKey{spd.Route2, endpoints}]; ok {
		header := append([]byte{p.Proto, 2, 2, 1, 0, 0, 0, 0}, p.Dst.AsSlice()...) // RFC 6275 section 6.4.1
		p.Proto, p.Payload = spd.Route2, append(header, p.Payload...)
		p.Dst = coa
	}
	return p
}

// homeAddressOption is the packet's payload behind a destination options header with the option, which sits at 8n+6
// (RFC 6275 section 6.3).
func homeAddressOption(p Packet, home netip.Addr) []byte {
	header := append([]byte{p.Proto, 2, 1, 2, 0, 0, 0xc9, 16}, home.AsSlice()...)
	return append(header, p.Payload...)
}

// asAcquired is the packet as KAME hands it over: within the kernel the home address option holds the care-of address
// until IPsec is done.
func (k *Kernel) asAcquired(p Packet) []byte {
	if coa, ok := k.careOf[careOfKey{spd.HomeOpt, spd.Endpoints{Src: p.Src, Dst: p.Dst}}]; ok {
		p.Payload, p.Proto = homeAddressOption(p, coa), spd.HomeOpt
	}
	return p.append(nil)
}

// removeCareOf takes off one header that addCareOf has put on.
func removeCareOf(p Packet) (Packet, error) {
	r := cursor.Big(p.Payload)
	next, length := r.U8(), r.U8()
	kind := r.U16() // the option before the home address option, or type and segments left
	r.Skip(4)
	home, _ := netip.AddrFromSlice(r.Bytes(16))
	payload := r.Rest()
	switch {
	case r.Err() != nil:
		return Packet{}, fmt.Errorf("header %d: %w", p.Proto, r.Err())
	case length != 2:
		return Packet{}, fmt.Errorf("header %d: length %d, want 2", p.Proto, length)
	case p.Proto == spd.HomeOpt && kind == 0x0102 && p.Payload[6] == 0xc9 && p.Payload[7] == 16:
		p.Src = home
	case p.Proto == spd.Route2 && kind == 0x0201:
		p.Dst = home
	default:
		return Packet{}, fmt.Errorf("header %d is no home address option and no type 2 routing header", p.Proto)
	}
	p.Proto, p.Payload = next, payload
	return p, nil
}
