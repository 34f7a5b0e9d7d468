//go:build linux

package xfrm

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"time"

	"mipsecd/internal/cursor"
	"mipsecd/spd"
)

// Sizes of struct xfrm_usersa_info and xfrm_usersa_id on a 64-bit machine.
const (
	saInfoLen = 224
	saIDLen   = 24
)

// Flags of struct xfrm_usersa_info.
const (
	flagAnyFamily uint8 = 32  // XFRM_STATE_AF_UNSPEC: packets of both families pass
	flagESN       uint8 = 128 // XFRM_STATE_ESN
)

// flagMayWrap is the one of attrExtraFlags with which sequence numbers begin anew after the highest
// (XFRM_SA_XFLAG_OSEQ_MAY_WRAP).
const flagMayWrap uint32 = 2

// legacyWindow is the number of packets that the anti-replay window of an SA covers without attrReplayESN.
const legacyWindow = 32

// SPIs below are reserved by IANA (RFC 4303 section 2.1).
const minSPI, maxSPI uint32 = 0x100, math.MaxUint32

// encodeSA is the body of NEWSA and UPDSA.
func encodeSA(sa spd.SA) ([]byte, error) {
	if sa.SPI < minSPI {
		return nil, invalid("SPI %d: at least %d wanted", sa.SPI, minSPI)
	}
	if sa.Dir != spd.In && sa.Dir != spd.Out {
		return nil, invalid("direction %s: in or out wanted", sa.Dir)
	}
	if sa.Proto != spd.ESP && sa.Encap != (spd.Encap{}) {
		return nil, invalid("UDP encapsulation of %s: esp wanted", spd.IPsecName(sa.Proto))
	}
	// An ESN needs a window, even where nothing is received (RFC 4303 section 3.4.3).
	esn := sa.Transform.ESN
	if esn && sa.Dir == spd.Out {
		sa.ReplayWindow = max(sa.ReplayWindow, legacyWindow)
	}
	extended := esn || sa.ReplayWindow > legacyWindow
	info := sa
	if extended {
		info.ReplayWindow = 0
	}
	b := make([]byte, 0, 1024) // more than is needed: growing leaves copies of keys behind
	b, err := appendSAInfo(b, info)
	if err != nil {
		return nil, err
	}
	if extended {
		b = appendReplayESN(b, sa.ReplayWindow)
	}
	if sa.Dir == spd.Out && sa.ReplayWindow == 0 { // else the SA would come to its end (RFC 4303 section 3.3.3)
		b = appendAttribute(b, attrExtraFlags, native.AppendUint32(nil, flagMayWrap))
	}
	b = appendEncap(b, sa.Encap)
	return appendTransform(b, sa.Proto, sa.Transform)
}

// encodeAllocSPI is the body of ALLOCSPI: a struct xfrm_userspi_info.
func encodeAllocSPI(l spd.LarvalSA) ([]byte, error) {
	b, err := appendSAInfo(nil, spd.SA{Proto: l.Proto, Mode: l.Mode, Endpoints: l.Endpoints})
	if err != nil {
		return nil, err
	}
	b = native.AppendUint32(b, minSPI)
	return native.AppendUint32(b, maxSPI), nil
}

// appendSAInfo writes a struct xfrm_usersa_info.
func appendSAInfo(b []byte, sa spd.SA) ([]byte, error) {
	if sa.Proto != spd.ESP && sa.Proto != spd.AH {
		return nil, invalid("an SA of %s: esp or ah wanted", spd.IPsecName(sa.Proto))
	}
	mode, err := modeNumber(sa.Mode)
	if err != nil {
		return nil, err
	}
	if err := checkEndpoints(sa.Endpoints); err != nil {
		return nil, err
	}
	var flags uint8
	if sa.Transform.ESN {
		flags |= flagESN
	}
	if sa.Selector == (spd.Selector{}) {
		b = append(b, make([]byte, selectorLen)...)
		if sa.Mode == spd.Tunnel {
			flags |= flagAnyFamily
		}
	} else if b, err = appendSelector(b, sa.Selector); err != nil {
		return nil, err
	}
	b = appendXfrmID(b, sa.ID())
	b = appendAddr(b, sa.Endpoints.Src)
	b = appendLifetime(b, sa.Lifetime)
	b = append(b, make([]byte, 32+12)...) // current lifetime, statistics
	b = native.AppendUint32(b, sa.Acquire)
	b = native.AppendUint32(b, sa.Reqid)
	b = native.AppendUint16(b, familyOf(sa.Endpoints.Dst))
	b = append(b, mode, sa.ReplayWindow, flags)
	return append(b, make([]byte, 7)...), nil
}

// appendXfrmID writes a struct xfrm_id.
func appendXfrmID(b []byte, id spd.SAID) []byte {
	b = appendAddr(b, id.Dst)
	b = binary.BigEndian.AppendUint32(b, id.SPI)
	return append(b, id.Proto, 0, 0, 0)
}

// encodeSAID is the body of DELSA: a struct xfrm_usersa_id.
func encodeSAID(id spd.SAID) ([]byte, error) {
	if !id.Dst.IsValid() {
		return nil, invalid("SA %s: a destination wanted", id)
	}
	b := appendAddr(nil, id.Dst)
	b = binary.BigEndian.AppendUint32(b, id.SPI)
	b = native.AppendUint16(b, familyOf(id.Dst))
	return append(b, id.Proto, 0), nil
}

// appendReplayESN writes a struct xfrm_replay_state_esn for an SA that has seen no packet.
func appendReplayESN(b []byte, window uint8) []byte {
	words := (uint32(window) + 31) / 32
	value := native.AppendUint32(nil, words)
	value = append(value, make([]byte, 4*4)...) // sequence numbers
	value = native.AppendUint32(value, uint32(window))
	value = append(value, make([]byte, words*4)...)
	return appendAttribute(b, attrReplayESN, value)
}

// infinite is XFRM_INF: no limit on octets or packets.
const infinite = ^uint64(0)

// appendLifetime writes a struct xfrm_lifetime_cfg: limits in octets, in packets, in seconds since the SA was made and
// in seconds since its first use.
func appendLifetime(b []byte, l spd.Lifetime) []byte {
	for _, v := range []uint64{
		byteLimit(l.SoftBytes), byteLimit(l.HardBytes), infinite, infinite, seconds(l.Soft), seconds(l.Hard), 0, 0,
	} {
		b = native.AppendUint64(b, v)
	}
	return b
}

func byteLimit(n uint64) uint64 {
	if n == 0 {
		return infinite
	}
	return n
}

// seconds rounds up, so that a short lifetime does not become an unbounded one.
func seconds(d time.Duration) uint64 { return uint64(max(d, 0)+time.Second-1) / uint64(time.Second) }

// readLifetime reads a struct xfrm_lifetime_cfg.
func readLifetime(r *cursor.Reader) spd.Lifetime {
	l := spd.Lifetime{SoftBytes: r.U64(), HardBytes: r.U64()}
	r.Skip(2 * 8)
	l.Soft, l.Hard = duration(r.U64()), duration(r.U64())
	r.Skip(2 * 8)
	if l.SoftBytes == infinite {
		l.SoftBytes = 0
	}
	if l.HardBytes == infinite {
		l.HardBytes = 0
	}
	return l
}

func duration(seconds uint64) time.Duration {
	return time.Duration(min(seconds, math.MaxInt64/uint64(time.Second))) * time.Second
}

// state is what a message tells of an SA or of a Mobile IPv6 state.
type state struct {
	sa     spd.SA
	careOf netip.Addr // of a Mobile IPv6 state, else the zero Addr
	larval bool       // an SPI or an ACQUIRE waits for its SA
}

// decodeState reads the body of NEWSA, UPDSA and DELSA.
func decodeState(m message) (state, error) {
	s, err := decodeStateBody(m)
	if err != nil {
		return state{}, fmt.Errorf("SA: %w", err)
	}
	return s, nil
}

func decodeStateBody(m message) (state, error) {
	fixed := saInfoLen
	if m.kind == msgDelSA {
		fixed = saIDLen
	}
	info, as, err := splitBody(m.body, fixed)
	if err != nil {
		return state{}, err
	}
	if m.kind == msgDelSA {
		info = as.get(attrSA)
	}
	sa, err := readSAInfo(cursor.Native(info))
	if err != nil {
		return state{}, err
	}
	s := state{sa: sa}
	transform, found, err := decodeTransform(as)
	if err != nil {
		return state{}, fmt.Errorf("algorithm: %w", err)
	}
	s.larval = !found
	transform.ESN = sa.Transform.ESN
	s.sa.Transform = transform
	if s.sa.Encap, err = decodeEncap(as); err != nil {
		return state{}, err
	}
	if raw := as.get(attrReplayESN); raw != nil {
		r := cursor.Native(raw)
		r.Skip(5 * 4)
		s.sa.ReplayWindow = uint8(min(r.U32(), math.MaxUint8))
		if r.Err() != nil {
			return state{}, fmt.Errorf("replay window: %w", r.Err())
		}
	}
	if raw := as.get(attrCareOf); raw != nil {
		r := cursor.Native(raw)
		coa := r.Bytes(addrLen)
		if r.Err() != nil {
			return state{}, fmt.Errorf("care-of address: %w", r.Err())
		}
		s.careOf, err = addrOf(coa, familyOf(sa.Endpoints.Dst))
	}
	return s, err
}

// readSAInfo reads a struct xfrm_usersa_info. Of the Transform it tells ESN only. The direction is not in it: the
// kernel does not have it.
func readSAInfo(r *cursor.Reader) (spd.SA, error) {
	sel, err := readSelector(r)
	if err != nil {
		return spd.SA{}, err
	}
	dst, spi, proto := readXfrmID(r)
	src := r.Bytes(addrLen)
	sa := spd.SA{SPI: spi, Proto: proto, Selector: restriction(sel), Lifetime: readLifetime(r)}
	r.Skip(32 + 12)
	sa.Acquire, sa.Reqid = r.U32(), r.U32()
	family := r.U16()
	sa.Mode = modeOf(r.U8())
	sa.ReplayWindow = r.U8()
	sa.Transform.ESN = r.U8()&flagESN != 0
	r.Skip(7)
	if r.Err() != nil {
		return spd.SA{}, r.Err()
	}
	sa.Endpoints, err = endpointsOf(src, dst, family)
	return sa, err
}

// readXfrmID reads a struct xfrm_id, whose family stands elsewhere.
func readXfrmID(r *cursor.Reader) (dst []byte, spi uint32, proto uint8) {
	dst = r.Bytes(addrLen)
	spi = cursor.Big(r.Bytes(4)).U32()
	proto = r.U8()
	r.Skip(3)
	return dst, spi, proto
}

// restriction is the zero Selector for one that selects all of its family.
func restriction(s spd.Selector) spd.Selector {
	if s.Src.Bits() <= 0 && s.Dst.Bits() <= 0 && s.Proto == spd.ProtoAny && !s.SrcPort.Exact && !s.DstPort.Exact {
		return spd.Selector{}
	}
	return s
}
