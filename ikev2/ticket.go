package ikev2

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"mipsecd/ikev2/suite"
	"mipsecd/ikev2/wire"
	"mipsecd/internal/cursor"
	"mipsecd/internal/secret"
)

// session is what is kept of an IKE_SA so that it can be resumed (RFC 5723 section 5): by the initiator as it is, by the
// responder in the ticket.
type session struct {
	suite    suite.IKESuite
	d        secret.Bytes // SK_d
	idi, idr Identity
	proof    uint8     // how both have proven who they are
	ppk      bool      // a PPK is in SK_d
	authEnds time.Time // the authentication; zero is never
	expires  time.Time // the ticket
	issuer   uint64    // the IKE_SA's SPI of the one who gave the ticket
	ticket   []byte    // as that one gave it
}

const (
	// ticketKeyLife is how long tickets are sealed with one key; they are taken for as long again.
	ticketKeyLife = 7 * 24 * time.Hour
	// maxTicketLife bounds the life of a ticket, and of the SK_d in it.
	maxTicketLife = 24 * time.Hour
)

// ticketID tells tickets apart: it is the nonce that one is sealed with.
type ticketID [12]byte

// A ticket is the number of its key, the shard that made it and the nonce, in clear, and then the session, sealed.
const ticketHead = 4 + 1 + len(ticketID{})

// ticketKey is the key of a number: they follow each other as time passes, and all come from the secret.
func (e *Engine) ticketKey(number uint32) cipher.AEAD {
	key, err := hkdf.Key(sha256.New, e.cfg.Secret, nil, fmt.Sprintf("session ticket key %d", number), 32)
	var block cipher.Block
	if err == nil {
		block, err = aes.NewCipher(key)
	}
	var aead cipher.AEAD
	if err == nil {
		aead, err = cipher.NewGCM(block)
	}
	if err != nil {
		panic(fmt.Sprintf("ikev2: no key for tickets: %v", err)) // of a length that is right it does not happen
	}
	return aead
}

func (e *Engine) ticketKeyNumber() uint32 {
	return uint32(e.now.Unix() / int64(ticketKeyLife/time.Second))
}

// sealTicket makes the ticket of a session.
func (e *Engine) sealTicket(s *session) (ticket []byte, id ticketID) {
	number := e.ticketKeyNumber()
	copy(id[:], e.random(len(id)))
	head := append(binary.BigEndian.AppendUint32(nil, number), e.cfg.Shard)
	return e.ticketKey(number).Seal(append(head, id[:]...), id[:], s.marshal(), head), id
}

// openTicket reads a ticket. The error says that it was not made here, is too old, or its peer may not resume any more.
func (e *Engine) openTicket(ticket []byte) (s *session, id ticketID, err error) {
	if len(ticket) < ticketHead {
		return nil, id, errors.New("the ticket is too short")
	}
	number, now := binary.BigEndian.Uint32(ticket), e.ticketKeyNumber()
	if number != now && number+1 != now {
		return nil, id, fmt.Errorf("the ticket has a key of another time (%d, now is %d)", number, now)
	}
	copy(id[:], ticket[5:])
	plain, err := e.ticketKey(number).Open(nil, id[:], ticket[ticketHead:], ticket[:5])
	if err != nil {
		return nil, id, errors.New("the ticket is not of ours")
	}
	s, err = e.parseSession(plain)
	if err == nil && !e.now.Before(s.expires) {
		err = errors.New("the ticket has expired")
	}
	return s, id, err
}

// issuerOf is the shard that has made the ticket in a datagram: it knows whether that was used, and the IKE_SA that is
// resumed.
func issuerOf(data []byte) (shard int, ok bool) {
	m, err := wire.Parse(data)
	if err != nil {
		return 0, false
	}
	n := wire.FindNotify(m.Payloads, wire.NotifyTicketOpaque)
	if n == nil || len(n.Data) < ticketHead {
		return 0, false
	}
	return int(n.Data[4]), true
}

// marshal writes a session as it stands in a ticket: the algorithms and identities as payloads.
func (s *session) marshal() []byte {
	b := binary.BigEndian.AppendUint64(nil, unixTime(s.expires))
	b = binary.BigEndian.AppendUint64(b, unixTime(s.authEnds))
	b = binary.BigEndian.AppendUint64(b, s.issuer)
	ppk := uint8(0)
	if s.ppk {
		ppk = 1
	}
	b = append(b, s.proof, ppk, uint8(len(s.d)))
	b = append(b, s.d...)
	return wire.AppendPayloads(b, []wire.Payload{
		acceptIKE(choice[suite.IKESuite]{suite: s.suite, num: 1}, nil), s.idi.payload(true), s.idr.payload(false),
	})
}

// parseSession reads what marshal has written. Whether its peer is still known, and may use the algorithms, is looked at
// anew.
func (e *Engine) parseSession(b []byte) (*session, error) {
	r := cursor.Big(b)
	s := &session{expires: timeOf(r.U64()), authEnds: timeOf(r.U64()), issuer: r.U64(), proof: r.U8(), ppk: r.U8() == 1}
	s.d = bytes.Clone(r.Bytes(int(r.U8())))
	ps, err := wire.ParsePayloads(wire.PayloadSA, r.Rest())
	if err == nil {
		err = r.Err()
	}
	if err != nil {
		return nil, err
	}
	algorithms, ok := wire.Find[*wire.SA](ps)
	idi, idr := wire.FindID(ps, true), wire.FindID(ps, false)
	if !ok || idi == nil || idr == nil {
		return nil, errors.New("the ticket lacks SA, IDi or IDr")
	}
	s.idi, s.idr = identityOf(idi), identityOf(idr)
	peer := e.cfg.Peers.ByIdentity(s.idi)
	if peer == nil || !peer.Resumption || peer.LocalID != s.idr || peer.proof() != s.proof ||
		peer.PPK.required() && !s.ppk {
		return nil, fmt.Errorf("%s may not resume an IKE_SA", s.idi)
	}
	c, ok := chooseIKE(peer.IKE, algorithms, suite.GroupNone)
	if !ok || len(s.d) != c.suite.PRF.Size() {
		return nil, fmt.Errorf("%s may not use the algorithms any more", s.idi)
	}
	s.suite = c.suite
	return s, nil
}

// unixTime is zero for the zero time.
func unixTime(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.Unix())
}

func timeOf(unix uint64) time.Time {
	if unix == 0 {
		return time.Time{}
	}
	return time.Unix(int64(unix), 0)
}

// proof tells apart the ways in which a peer proves who it is, so that a ticket does not outlive a change.
func (p *Peer) proof() uint8 {
	switch {
	case p.EAP != nil:
		return 3
	case p.Trust != nil:
		return 2
	}
	return 1
}

// usedTickets remembers the tickets that are not to be taken again, in bounded memory: when there is no more room, all
// that are as old as the one that gives way are refused with it.
type usedTickets struct {
	ids   map[ticketID]bool
	order []usedTicket
	floor time.Time // tickets that expire before are refused
}

type usedTicket struct {
	id      ticketID
	expires time.Time
}

// maxUsedTickets is about 5 MB.
const maxUsedTickets = 1 << 16

func (u *usedTickets) add(now time.Time, id ticketID, expires time.Time) {
	if u.ids[id] || id == (ticketID{}) {
		return
	}
	for len(u.order) > 0 && (len(u.order) >= maxUsedTickets || now.After(u.order[0].expires)) {
		oldest := u.order[0]
		u.order = u.order[1:]
		delete(u.ids, oldest.id)
		if oldest.expires.After(u.floor) {
			u.floor = oldest.expires
		}
	}
	if u.ids == nil {
		u.ids = map[ticketID]bool{}
	}
	u.ids[id] = true
	u.order = append(u.order, usedTicket{id, expires})
}

func (u *usedTickets) has(id ticketID, expires time.Time) bool {
	return u.ids[id] || !expires.After(u.floor)
}
