//go:build linux

package xfrm

import (
	"fmt"

	"mipsecd/internal/cursor"
	"mipsecd/spd"
)

// encodeMigrate is the body of MIGRATE: the policy's key, where the key exchange is, and the changes in one attribute.
func encodeMigrate(m spd.Migrate) ([]byte, error) {
	if len(m.Changes) == 0 || len(m.Changes) > maxTemplates {
		return nil, invalid("%d changes: 1 to %d wanted", len(m.Changes), maxTemplates)
	}
	b, err := encodePolicyKey(m.PolicyKey)
	if err != nil {
		return nil, err
	}
	if m.KMAddress != (spd.Endpoints{}) {
		if err := checkEndpoints(m.KMAddress); err != nil {
			return nil, fmt.Errorf("key exchange: %w", err)
		}
		b = appendAttribute(b, attrKMAddress, appendKMAddress(nil, m.KMAddress))
	}
	b = appendEncap(b, m.Encap)
	var changes []byte
	for _, c := range m.Changes {
		if changes, err = appendChange(changes, c); err != nil {
			return nil, err
		}
	}
	return appendAttribute(b, attrMigrate, changes), nil
}

// appendKMAddress writes a struct xfrm_user_kmaddress.
func appendKMAddress(b []byte, e spd.Endpoints) []byte {
	b = appendAddr(b, e.Src)
	b = appendAddr(b, e.Dst)
	b = append(b, 0, 0, 0, 0)
	b = native.AppendUint16(b, familyOf(e.Src))
	return append(b, 0, 0)
}

// appendChange writes a struct xfrm_user_migrate.
func appendChange(b []byte, c spd.EndpointChange) ([]byte, error) {
	mode, err := modeNumber(c.Mode)
	if err != nil {
		return nil, err
	}
	for _, e := range []spd.Endpoints{c.Old, c.New} {
		if err := checkEndpoints(e); err != nil {
			return nil, err
		}
		b = appendAddr(b, e.Dst)
		b = appendAddr(b, e.Src)
	}
	b = append(b, c.Proto, mode, 0, 0)
	b = native.AppendUint32(b, c.Reqid)
	b = native.AppendUint16(b, familyOf(c.Old.Dst))
	return native.AppendUint16(b, familyOf(c.New.Dst)), nil
}

// decodeMigrate reads the body of MIGRATE. The kernel reports each change in an attribute of its own; requests have all
// in one.
func decodeMigrate(body []byte) (spd.Migrate, error) {
	m, err := decodeMigrateBody(body)
	if err != nil {
		return spd.Migrate{}, fmt.Errorf("MIGRATE: %w", err)
	}
	return m, nil
}

func decodeMigrateBody(body []byte) (m spd.Migrate, err error) {
	id, as, err := splitBody(body, policyIDLen)
	if err != nil {
		return m, err
	}
	if m.PolicyKey, err = readPolicyKey(cursor.Native(id)); err != nil {
		return m, err
	}
	if m.Sub, err = isSub(as); err != nil {
		return m, err
	}
	if raw := as.get(attrKMAddress); raw != nil {
		if m.KMAddress, err = readKMAddress(cursor.Native(raw)); err != nil {
			return m, fmt.Errorf("key exchange's addresses: %w", err)
		}
	}
	if m.Encap, err = decodeEncap(as); err != nil {
		return m, err
	}
	for _, a := range as {
		if a.kind != attrMigrate {
			continue
		}
		for r := cursor.Native(a.value); r.Len() > 0; {
			c, err := readChange(r)
			if err != nil {
				return m, fmt.Errorf("change %d: %w", len(m.Changes), err)
			}
			m.Changes = append(m.Changes, c)
		}
	}
	return m, nil
}

// readPolicyKey reads a struct xfrm_userpolicy_id.
func readPolicyKey(r *cursor.Reader) (spd.PolicyKey, error) {
	sel, err := readSelector(r)
	if err != nil {
		return spd.PolicyKey{}, err
	}
	r.Skip(4) // index
	dir := r.U8()
	r.Skip(3)
	if r.Err() != nil {
		return spd.PolicyKey{}, r.Err()
	}
	k := spd.PolicyKey{Selector: sel}
	k.Dir, err = dirOf(dir)
	return k, err
}

func readKMAddress(r *cursor.Reader) (spd.Endpoints, error) {
	local, remote := r.Bytes(addrLen), r.Bytes(addrLen)
	r.Skip(4)
	family := r.U16()
	r.Skip(2)
	if r.Err() != nil {
		return spd.Endpoints{}, r.Err()
	}
	return endpointsOf(local, remote, family)
}

func readChange(r *cursor.Reader) (c spd.EndpointChange, err error) {
	oldDst, oldSrc, newDst, newSrc := r.Bytes(addrLen), r.Bytes(addrLen), r.Bytes(addrLen), r.Bytes(addrLen)
	c.Proto, c.Mode = r.U8(), modeOf(r.U8())
	r.Skip(2)
	c.Reqid = r.U32()
	oldFamily, newFamily := r.U16(), r.U16()
	if r.Err() != nil {
		return c, r.Err()
	}
	if c.Old, err = endpointsOf(oldSrc, oldDst, oldFamily); err != nil {
		return c, err
	}
	c.New, err = endpointsOf(newSrc, newDst, newFamily)
	return c, err
}
