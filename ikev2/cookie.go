package ikev2

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"net/netip"
	"time"
)

// cookieAge is how long one cookie secret makes cookies; it is accepted for as long again.
const cookieAge = 2 * time.Minute

// cookieJar makes and checks the cookies of RFC 7296 section 2.6 without holding state for those who ask.
type cookieJar struct {
	version          uint32
	current, earlier []byte
	since            time.Time
}

// cookie is the version of the secret and an HMAC over nonce, address and SPI of the initiator.
func (e *Engine) cookie(ni []byte, remote netip.AddrPort, spii uint64) []byte {
	j := &e.cookies
	if j.current == nil || e.now.Sub(j.since) >= cookieAge {
		j.earlier, j.current = j.current, e.random(sha256.Size)
		j.version++
		j.since = e.now
	}
	return bake(j.version, j.current, ni, remote, spii)
}

func bake(version uint32, key, ni []byte, remote netip.AddrPort, spii uint64) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(binary.BigEndian.AppendUint64(nil, spii))
	mac.Write(remote.Addr().AsSlice())
	mac.Write(ni)
	return mac.Sum(binary.BigEndian.AppendUint32(nil, version))
}

// cookieValid checks a cookie against the secret of its version.
func (e *Engine) cookieValid(cookie, ni []byte, remote netip.AddrPort, spii uint64) bool {
	if len(cookie) < 4 {
		return false
	}
	j := &e.cookies
	age, key := e.now.Sub(j.since), j.current
	version := binary.BigEndian.Uint32(cookie)
	if version+1 == j.version {
		age, key = age+cookieAge, j.earlier // at least
	} else if version != j.version {
		return false
	}
	return key != nil && age < 2*cookieAge && subtle.ConstantTimeCompare(cookie, bake(version, key, ni, remote, spii)) == 1
}
