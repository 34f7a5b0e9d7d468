package mobility

import (
	"errors"
	"fmt"
	"net/netip"

	"mipsecd/internal/cursor"
	"mipsecd/spd"
)

// Packet is an IPv6 packet up to its upper-layer protocol, as a kernel shows the one that made it call for an SA
// (SADB_X_EXT_PACKET). Addresses that the packet does not have are the zero Addr.
type Packet struct {
	Src, Dst          netip.Addr
	HomeAddressOption netip.Addr // in the destination options (RFC 6275 section 6.3)
	RoutingHome       netip.Addr // in the type 2 routing header (RFC 6275 section 6.4)
	// Proto is where the headers ended: an upper-layer protocol, ESP, or Fragment for any but a first fragment.
	Proto uint8
	MH    Message // with Proto 135, else nil
}

// Numbers of the extension headers (RFC 8200 section 4, RFC 4302) and of what is looked for in them.
const (
	hopByHop    = 0
	routing     = 43
	fragment    = 44
	destOptions = 60

	routingType2 = 2
	optionHome   = 201
	optionPad1v6 = 0

	// maxHeaders bounds the chain of extension headers; a packet that a node means to send has five at most.
	maxHeaders = 16
)

// ParsePacket walks over the headers of an IPv6 packet that starts at its fixed header, through extension headers to a
// Mobility Header, if it is one. Octets past the Payload Length are ignored; a Payload Length of zero, in a packet that
// the kernel had not finished, counts as unknown.
func ParsePacket(b []byte) (Packet, error) {
	p, err := parsePacket(b)
	if err != nil {
		return Packet{}, fmt.Errorf("IPv6 packet: %w", err)
	}
	return p, nil
}

func parsePacket(b []byte) (p Packet, err error) {
	r := cursor.Big(b)
	version := r.U32() >> 28
	payload := int(r.U16())
	p.Proto = r.U8()
	r.Skip(1) // hop limit
	p.Src, p.Dst = readAddr(r), readAddr(r)
	if err := r.Err(); err != nil {
		return p, err
	}
	if version != 6 {
		return p, fmt.Errorf("version is %d, must be 6", version)
	}
	if payload > 0 && payload < r.Len() {
		r = cursor.Big(r.Bytes(payload))
	}
	for range maxHeaders {
		this := p.Proto
		more, err := p.header(r)
		if err != nil {
			return p, fmt.Errorf("header %d: %w", this, err)
		}
		if !more {
			return p, nil
		}
	}
	return p, fmt.Errorf("more than %d extension headers", maxHeaders)
}

// header reads the header that p.Proto announces and puts the next one's number there. It reports whether there may be
// more of them.
func (p *Packet) header(r *cursor.Reader) (more bool, err error) {
	switch this := p.Proto; this {
	case hopByHop, routing, destOptions:
		p.Proto = r.U8()
		length := r.U8()
		body := r.Bytes(int(length)*8 + 6)
		if err := r.Err(); err != nil {
			return false, err
		}
		switch this {
		case routing:
			err = p.routingHeader(cursor.Big(body))
		case destOptions:
			err = p.destinationOptions(cursor.Big(body))
		}
		return true, err
	case fragment:
		next := r.U8()
		r.Skip(1)
		offset := r.U16() >> 3
		r.Skip(4)
		if offset != 0 || r.Err() != nil {
			return false, r.Err()
		}
		p.Proto = next
		return true, nil
	case spd.AH:
		p.Proto = r.U8()
		length := r.U8() // in units of 4 octets, less 2
		r.Skip(int(length)*4 + 6)
		return true, r.Err()
	case spd.ProtoMH:
		p.MH, err = ParseMH(r.Rest())
		return false, err
	}
	return false, nil
}

// routingHeader takes the home address out of a type 2 routing header, which starts here at its Routing Type.
func (p *Packet) routingHeader(r *cursor.Reader) error {
	if r.U8() != routingType2 {
		return nil
	}
	if segments := r.U8(); r.Len() != 20 || segments != 1 {
		return fmt.Errorf("type 2 with %d octets and %d segments left, must be 24 and 1 (RFC 6275 section 6.4.1)",
			r.Len()+4, segments)
	}
	if p.RoutingHome.IsValid() {
		return errors.New("type 2 routing header is there twice")
	}
	r.Skip(4)
	p.RoutingHome = readAddr(r)
	return nil
}

// destinationOptions takes the home address out of a Home Address option.
func (p *Packet) destinationOptions(r *cursor.Reader) error {
	for r.Len() > 0 {
		t := r.U8()
		if t == optionPad1v6 {
			continue
		}
		length := r.U8()
		data := r.Bytes(int(length))
		if err := r.Err(); err != nil {
			return fmt.Errorf("destination option %d: %w", t, err)
		}
		if t != optionHome {
			continue
		}
		if length != 16 {
			return fmt.Errorf("destination option 201 (Home Address) has length %d, must be 16", length)
		}
		if p.HomeAddressOption.IsValid() {
			return errors.New("destination option 201 (Home Address) is there twice")
		}
		p.HomeAddressOption = netip.AddrFrom16([16]byte(data))
	}
	return r.Err()
}

// Binding reads a home registration out of the packet: a Binding Update with the H bit binds a home address, one of
// those that home knows, to a care-of address. The CoA is the Alternate Care-of Address where there is one, otherwise
// the packet's other address (draft-sugimoto-mip6-pfkey-migrate-04 section 4.2.2). A kernel may show the packet before
// or after it exchanged source and Home Address option: in either order the one that home knows is the HoA. A mobile
// node at home has its HoA as CoA. Without a CoA that is unicast routable (RFC 6275 section 6.1.7) there is no binding.
func (p Packet) Binding(home func(netip.Addr) bool) (hoa, coa netip.Addr, ok bool) {
	bu, isBU := p.MH.(BindingUpdate)
	if !isBU || !bu.HomeReg {
		return hoa, coa, false
	}
	hoa, coa = p.Src, p.Src
	if other := p.HomeAddressOption; other.IsValid() {
		// Where home knows both, as when one HoA is the CoA of another, the alternate CoA decides.
		if home(p.Src) && !(home(other) && p.Src == bu.CareOf) {
			coa = other
		} else {
			hoa = other
		}
	}
	if bu.CareOf.IsValid() {
		coa = bu.CareOf
	}
	if !home(hoa) || !routable(coa) {
		return netip.Addr{}, netip.Addr{}, false
	}
	return hoa, coa, true
}

func routable(a netip.Addr) bool { return a.Is6() && !a.Is4In6() && a.IsGlobalUnicast() }
