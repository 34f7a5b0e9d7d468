package pfkey

import (
	"fmt"

	"mipsecd/internal/cursor"
	"mipsecd/spd"
)

// policyExt is sadb_x_policy, KAME's, with the requests that follow it.
type policyExt struct {
	action       uint16
	dir          uint8
	id, priority uint32
	requests     []request
}

// What a policy does (IPSEC_POLICY_*). A socket's policy may also be entrust or bypass.
const (
	policyDiscard uint16 = 0
	policyNone    uint16 = 1
	policyIPsec   uint16 = 2
)

// request is sadb_x_ipsecrequest: a template, or one half of a migration. Modes and levels have the numbers of spd.Mode
// and spd.Level. Endpoints are zero where there are none.
type request struct {
	proto     uint8
	mode      spd.Mode
	level     spd.Level
	reqid     uint32
	endpoints spd.Endpoints
}

func (d *dialect) requestHeader() int {
	if d.wideRequest {
		return 16
	}
	return 8
}

func (d *dialect) appendPolicy(b []byte, x *policyExt) []byte {
	b = native.AppendUint16(b, x.action)
	b = append(b, x.dir, 0)
	b = native.AppendUint32(b, x.id)
	if d.priority {
		b = native.AppendUint32(b, x.priority)
	} else {
		b = append(b, 0, 0, 0, 0)
	}
	for _, q := range x.requests {
		b = d.appendRequest(b, q)
	}
	return b
}

func (d *dialect) decodePolicy(r *cursor.Reader) (*policyExt, error) {
	x := &policyExt{action: r.U16(), dir: r.U8()}
	r.Skip(1)
	x.id = r.U32()
	if priority := r.U32(); d.priority {
		x.priority = priority
	}
	for r.Len() > 0 {
		q, err := d.decodeRequest(r)
		if err != nil {
			return nil, fmt.Errorf("sadb_x_ipsecrequest %d: %w", len(x.requests), err)
		}
		x.requests = append(x.requests, q)
	}
	return x, nil
}

// appendRequest lays out a request. Its length counts octets, unlike all other lengths in PF_KEY.
func (d *dialect) appendRequest(b []byte, q request) []byte {
	start := len(b)
	b = append(b, 0, 0)
	b = native.AppendUint16(b, uint16(q.proto))
	b = append(b, uint8(q.mode), uint8(q.level))
	if d.wideRequest {
		b = append(b, 0, 0)
		b = native.AppendUint32(b, q.reqid)
		b = append(b, 0, 0, 0, 0)
	} else {
		b = native.AppendUint16(b, uint16(q.reqid))
	}
	if q.endpoints.Src.IsValid() {
		b = d.appendPair(b, q.endpoints) // 32 or 56 octets: no padding
	}
	native.PutUint16(b[start:], uint16(len(b)-start))
	return b
}

func (d *dialect) decodeRequest(r *cursor.Reader) (request, error) {
	left := r.Len()
	length := int(r.U16())
	if length < d.requestHeader() || length > left {
		return request{}, fmt.Errorf("its length is %d octets, must be %d to %d", length, d.requestHeader(), left)
	}
	body := cursor.Native(r.Bytes(length - 2))
	proto := body.U16()
	q := request{proto: uint8(proto), mode: spd.Mode(body.U8()), level: spd.Level(body.U8())}
	if proto > 0xff {
		return request{}, fmt.Errorf("its protocol is %d, at most 255", proto)
	}
	if d.wideRequest {
		body.Skip(2)
		q.reqid = body.U32()
		body.Skip(4)
	} else {
		q.reqid = uint32(body.U16())
	}
	if body.Len() == 0 {
		return q, body.Err()
	}
	endpoints, err := d.decodePair(body)
	q.endpoints = endpoints
	return q, err
}
