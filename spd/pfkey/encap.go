package pfkey

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"mipsecd/internal/cursor"
	"mipsecd/spd"
)

// espInUDP is the encapsulation of RFC 3948 (UDP_ENCAP_ESPINUDP) in sadb_x_nat_t_type.
const espInUDP = 2

// appendPort lays out sadb_x_nat_t_port.
func appendPort(b []byte, port uint16) []byte {
	return append(binary.BigEndian.AppendUint16(b, port), 0, 0)
}

func decodePort(r *cursor.Reader) uint16 {
	port := r.Bytes(2)
	r.Skip(2)
	if port == nil {
		return 0
	}
	return binary.BigEndian.Uint16(port)
}

// SetEncap implements spd.Backend, by SADB_UPDATE with all that SADB_GET says of the SA, keys included.
func (b *Backend) SetEncap(id spd.SAID, encap spd.Encap) error {
	get, err := idMessage(sadbGet, id)
	if err != nil {
		return err
	}
	update := &message{header: header{typ: sadbUpdate, satype: get.satype}}
	if err := b.requests.ask(get, func(reply []byte) error {
		update.extensions = slices.Clone(reply[headerLen:])
		return b.dialect.changePorts(update.extensions, encap)
	}); err != nil {
		return err
	}
	defer clear(update.extensions)
	_, err = b.requests.do(update)
	return err
}

// changePorts writes other ports into the extensions of an SA that has some.
func (d *dialect) changePorts(extensions []byte, encap spd.Encap) error {
	changed := 0
	for r := cursor.Native(extensions); r.Len() > 0; {
		length, typ := int(r.U16())*8, r.U16()
		body := r.Bytes(length - 4)
		if r.Err() != nil {
			return fmt.Errorf("extension %d of an SA: %w", typ, r.Err())
		}
		switch typ {
		case d.natSrcPort:
			binary.BigEndian.PutUint16(body, encap.Src)
			changed++
		case d.natDstPort:
			binary.BigEndian.PutUint16(body, encap.Dst)
			changed++
		}
	}
	if changed != 2 || encap == (spd.Encap{}) {
		return fmt.Errorf("%w: an encapsulation cannot be added or taken away", spd.ErrInvalid)
	}
	return nil
}

// mapping reads SADB_X_NAT_T_NEW_MAPPING: the old address and port of the peer are the source, the new ones the
// destination. That of the SA is not there, and looked up.
func (l *listener) mapping(m *message) (spd.Event, error) {
	if m.sa == nil || m.src == nil || m.dst == nil || m.encap.Dst == 0 {
		return nil, errors.New("SADB_X_NAT_T_NEW_MAPPING: must have an SA, two addresses and the new port")
	}
	old, from := m.src.prefix.Addr(), netip.AddrPortFrom(m.dst.prefix.Addr(), m.encap.Dst)
	var found spd.Event
	err := l.client.dump(sadbDump, func(x *message) error {
		if sa, ok := l.dialect.saOf(x); ok && sa.SPI == m.sa.spi && sa.Endpoints.Src == old {
			found = spd.Mapping{ID: sa.ID(), From: from}
		}
		return nil
	})
	return found, err
}
