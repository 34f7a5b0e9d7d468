package pfkey

import (
	"encoding/binary"
	"fmt"

	"mipsecd/internal/cursor"
	"mipsecd/internal/secret"
	"mipsecd/spd"
)

// msgType is a SADB message type (RFC 2367 section 3.1; from 13 on KAME's).
type msgType uint8

const (
	sadbGetSPI     msgType = 1
	sadbUpdate     msgType = 2
	sadbAdd        msgType = 3
	sadbDelete     msgType = 4
	sadbGet        msgType = 5
	sadbAcquire    msgType = 6
	sadbRegister   msgType = 7
	sadbExpire     msgType = 8
	sadbFlush      msgType = 9
	sadbDump       msgType = 10
	sadbSPDUpdate  msgType = 13
	sadbSPDAdd     msgType = 14
	sadbSPDDelete  msgType = 15
	sadbSPDGet     msgType = 16
	sadbSPDDump    msgType = 18
	sadbSPDFlush   msgType = 19
	sadbSPDExpire  msgType = 21
	sadbSPDDelete2 msgType = 22
	sadbNATMapping msgType = 23
	sadbMigrate    msgType = 24
)

var msgNames = map[msgType]string{
	sadbGetSPI: "GETSPI", sadbUpdate: "UPDATE", sadbAdd: "ADD", sadbDelete: "DELETE", sadbGet: "GET",
	sadbAcquire: "ACQUIRE", sadbRegister: "REGISTER", sadbExpire: "EXPIRE", sadbFlush: "FLUSH", sadbDump: "DUMP",
	sadbSPDUpdate: "X_SPDUPDATE", sadbSPDAdd: "X_SPDADD", sadbSPDDelete: "X_SPDDELETE", sadbSPDGet: "X_SPDGET",
	sadbSPDDump: "X_SPDDUMP", sadbSPDFlush: "X_SPDFLUSH", sadbSPDExpire: "X_SPDEXPIRE",
	sadbSPDDelete2: "X_SPDDELETE2", sadbNATMapping: "X_NAT_T_NEW_MAPPING", sadbMigrate: "X_MIGRATE",
}

func (t msgType) String() string {
	if n, ok := msgNames[t]; ok {
		return "SADB_" + n
	}
	return fmt.Sprintf("SADB message %d", uint8(t))
}

// Extension types that mean the same everywhere (RFC 2367 section 3.2; from 18 on KAME's).
const (
	extSA              uint16 = 1
	extLifetimeCurrent uint16 = 2
	extLifetimeHard    uint16 = 3
	extLifetimeSoft    uint16 = 4
	extAddressSrc      uint16 = 5
	extAddressDst      uint16 = 6
	extKeyAuth         uint16 = 8
	extKeyEncrypt      uint16 = 9
	extSupportedAuth   uint16 = 14
	extSupportedEncr   uint16 = 15
	extSPIRange        uint16 = 16
	extPolicy          uint16 = 18
	extSA2             uint16 = 19
)

// SA types (RFC 2367 section 3.3).
const (
	satypeUnspec uint8 = 0
	satypeAH     uint8 = 2
	satypeESP    uint8 = 3
)

const (
	pfKeyV2    = 2
	headerLen  = 16
	maxMessage = 0xffff * 8 // sadb_msg_len counts units of eight octets
)

// header is sadb_msg (RFC 2367 section 2.1) without its version and length.
type header struct {
	typ    msgType
	errno  uint8
	satype uint8
	seq    uint32
	pid    uint32
}

// message is a PF_KEY message. An extension that is absent is nil, or zero. Those that nobody here asks for, such as
// identities and the proposals of an ACQUIRE, are passed over when decoding (RFC 2367 section 2.3), and so are keys:
// they go to the kernel, but do not come back.
type message struct {
	header
	kmAddress           spd.Endpoints
	sa                  *saExt
	hard, soft, current *lifetime
	src, dst            *address
	authKey, encrKey    secret.Bytes // nil is absent; empty is a key of no bits
	authAlgs, encrAlgs  []algorithm
	spiRange            *spiRange
	policy              *policyExt
	sa2                 *sa2Ext
	packet              []byte
	encap               spd.Encap
	extensions          []byte // in place of all these, as a kernel has sent them
}

// encode lays out the message. The order of the extensions is that of draft-ebalard-mext-pfkey-enhanced-migrate
// appendix A and of RFC 2367 section 3.1, which kernels do not insist on.
func (d *dialect) encode(m *message) ([]byte, error) {
	b := make([]byte, headerLen, 512)
	b[0], b[1], b[2], b[3] = pfKeyV2, uint8(m.typ), m.errno, m.satype
	binary.NativeEndian.PutUint32(b[8:], m.seq)
	binary.NativeEndian.PutUint32(b[12:], m.pid)
	add := func(present bool, typ uint16, body func([]byte) []byte) {
		if present {
			b = appendExtension(b, typ, body)
		}
	}
	add(m.kmAddress.Src.IsValid(), d.kmAddress, func(b []byte) []byte { return d.appendKMAddress(b, m.kmAddress) })
	add(m.sa != nil, extSA, func(b []byte) []byte { return m.sa.append(b) })
	add(m.hard != nil, extLifetimeHard, func(b []byte) []byte { return m.hard.append(b) })
	add(m.soft != nil, extLifetimeSoft, func(b []byte) []byte { return m.soft.append(b) })
	add(m.current != nil, extLifetimeCurrent, func(b []byte) []byte { return m.current.append(b) })
	add(m.src != nil, extAddressSrc, func(b []byte) []byte { return d.appendAddress(b, *m.src) })
	add(m.dst != nil, extAddressDst, func(b []byte) []byte { return d.appendAddress(b, *m.dst) })
	add(m.authKey != nil, extKeyAuth, func(b []byte) []byte { return appendKey(b, m.authKey) })
	add(m.encrKey != nil, extKeyEncrypt, func(b []byte) []byte { return appendKey(b, m.encrKey) })
	add(m.authAlgs != nil, extSupportedAuth, func(b []byte) []byte { return appendAlgorithms(b, m.authAlgs) })
	add(m.encrAlgs != nil, extSupportedEncr, func(b []byte) []byte { return appendAlgorithms(b, m.encrAlgs) })
	add(m.spiRange != nil, extSPIRange, func(b []byte) []byte { return m.spiRange.append(b) })
	add(m.policy != nil, extPolicy, func(b []byte) []byte { return d.appendPolicy(b, m.policy) })
	add(m.sa2 != nil, extSA2, func(b []byte) []byte { return m.sa2.append(b) })
	add(m.packet != nil, d.packet, func(b []byte) []byte { return appendPacket(b, m.packet) })
	add(m.encap != spd.Encap{}, d.natType, func(b []byte) []byte { return append(b, espInUDP, 0, 0, 0) })
	add(m.encap.Src != 0, d.natSrcPort, func(b []byte) []byte { return appendPort(b, m.encap.Src) })
	add(m.encap.Dst != 0, d.natDstPort, func(b []byte) []byte { return appendPort(b, m.encap.Dst) })
	b = append(b, m.extensions...)
	if len(b) > maxMessage {
		return nil, fmt.Errorf("%s: %w: %d octets, at most %d fit", m.typ, spd.ErrInvalid, len(b), maxMessage)
	}
	binary.NativeEndian.PutUint16(b[4:], uint16(len(b)/8))
	return b, nil
}

// appendExtension frames a body: length in units of eight octets, type, and padding.
func appendExtension(b []byte, typ uint16, body func([]byte) []byte) []byte {
	start := len(b)
	b = binary.NativeEndian.AppendUint16(append(b, 0, 0), typ)
	b = body(b)
	b = append(b, make([]byte, -(len(b)-start)&7)...)
	binary.NativeEndian.PutUint16(b[start:], uint16((len(b)-start)/8))
	return b
}

// decodeHeader reads sadb_msg and returns what follows it.
func decodeHeader(b []byte) (header, []byte, error) {
	r := cursor.Native(b)
	version := r.U8()
	h := header{typ: msgType(r.U8()), errno: r.U8(), satype: r.U8()}
	length := int(r.U16()) * 8
	r.Skip(2) // reserved, but Linux has a reference count there in policy messages
	h.seq, h.pid = r.U32(), r.U32()
	switch {
	case r.Err() != nil:
		return header{}, nil, fmt.Errorf("sadb_msg: %w", r.Err())
	case version != pfKeyV2:
		return header{}, nil, fmt.Errorf("sadb_msg_version %d, must be %d", version, pfKeyV2)
	case length != len(b):
		return header{}, nil, fmt.Errorf("sadb_msg_len says %d octets, there are %d", length, len(b))
	}
	return h, r.Rest(), nil
}

// decode reads a message, of which nothing aliases b.
func (d *dialect) decode(b []byte) (*message, error) {
	h, body, err := decodeHeader(b)
	if err != nil {
		return nil, err
	}
	m := &message{header: h}
	seen := map[uint16]bool{}
	for r := cursor.Native(body); r.Len() > 0; {
		offset, left := headerLen+r.Offset(), r.Len()
		length, typ := int(r.U16())*8, r.U16()
		fail := func(err error) (*message, error) {
			return nil, fmt.Errorf("%s: extension %d at offset %d: %w", h.typ, typ, offset, err)
		}
		if length < 8 || length > left {
			return fail(fmt.Errorf("sadb_ext_len says %d octets, must be 8 to %d", length, left))
		}
		if typ == 0 || seen[typ] {
			return fail(fmt.Errorf("its type is reserved, or was there before"))
		}
		seen[typ] = true
		value := cursor.Native(r.Bytes(length - 4))
		if err := d.decodeExtension(m, typ, value); err != nil {
			return fail(err)
		}
		if value.Err() != nil {
			return fail(value.Err())
		}
	}
	return m, nil
}

func (d *dialect) decodeExtension(m *message, typ uint16, r *cursor.Reader) (err error) {
	switch typ {
	case extSA:
		m.sa = decodeSA(r)
	case extLifetimeHard:
		m.hard = decodeLifetime(r)
	case extLifetimeSoft:
		m.soft = decodeLifetime(r)
	case extLifetimeCurrent:
		m.current = decodeLifetime(r)
	case extAddressSrc:
		m.src, err = d.decodeAddress(r)
	case extAddressDst:
		m.dst, err = d.decodeAddress(r)
	case extSupportedAuth:
		m.authAlgs, err = decodeAlgorithms(r)
	case extSupportedEncr:
		m.encrAlgs, err = decodeAlgorithms(r)
	case extSPIRange:
		m.spiRange = decodeSPIRange(r)
	case extPolicy:
		m.policy, err = d.decodePolicy(r)
	case extSA2:
		m.sa2 = decodeSA2(r)
	case d.kmAddress:
		m.kmAddress, err = d.decodeKMAddress(r)
	case d.natSrcPort:
		m.encap.Src = decodePort(r)
	case d.natDstPort:
		m.encap.Dst = decodePort(r)
	case d.packet:
		m.packet, err = decodePacket(r)
	}
	return err
}
