package ikev2

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"mipsecd/ikev2/auth"
	"mipsecd/ikev2/suite"
	"mipsecd/internal/secret"
	"mipsecd/spd"
)

// ikeSA is one IKE_SA, from its first message on.
type ikeSA struct {
	own, other    uint64 // SPIs
	initiator     bool   // of the IKE_SA: decides the I flag and the order of keys
	local, remote netip.AddrPort
	peer          *Peer // nil in a responder until IDi is known

	suite suite.IKESuite
	keys  ikeKeys
	begun initKey    // in a responder of IKE_SA_INIT
	hs    *handshake // until established

	agreed
	established bool
	since       uint64    // when it was established, in the order of Engine.nextID
	startedAt   time.Time // its handshake
	upAt        time.Time // it was established
	closing     bool      // a Delete for it is on its way, it has been replaced, or it failed
	gone        error     // why it was dropped: what comes back from jobs is for nobody
	window

	children []*childSA
	early    []uint32  // SPIs of the peer's that it has deleted before the answer came that would name them
	rekeying *ikeRekey // while this side, the peer or both rekey it
	replaces *ikeSA    // while it is not decided whether this one takes over from that
	next     *ikeSA    // has taken over from this one
	followUp *followUp // key exchanges that the peer is yet to make

	ticket     ticketID // that this side has given for it; zero is none
	ticketEnds time.Time
	crashToken secret.Bytes // of the peer's, or nil

	heardAt   time.Time
	probed    bool   // the peer's next answer is a sign of life that is waited for
	refusals  int    // TEMPORARY_FAILURE, one after the other
	mistaken  int    // UNEXPECTED_NAT_DETECTED, the same
	renewal   *timer // when the IKE_SA is to be rekeyed
	authTimer *timer // when its authentication is to be repeated, or has ended
	liveness  *timer
	keepalive *timer // for a NAT
	giveUp    *timer // of a responder's half-open IKE_SA, of EAP, or of one that waits for the peer's Delete
}

// agreed is what the two sides have found out about each other by extensions. An IKE_SA that replaces another takes it over.
type agreed struct {
	fragments    bool // both sides take them
	ppk          bool // a PPK is in the keys, or in those that they come from
	mobike       mobike
	original     bool      // this side began with IKE_SA_INIT, whoever has rekeyed since
	authEnds     time.Time // the authentication; zero is never
	redirectable bool      // the initiator follows redirects
	nat          nat
}

// handshake is what IKE_SA_INIT and IKE_AUTH need, and nothing later.
type handshake struct {
	began    uint64       // in the order of Engine.nextID
	met      bool         // another engine has an IKE_SA with the peer by now
	network  netip.Prefix // of the initiator, in a responder
	key      *suite.KEKey
	group    suite.Group
	retried  bool // INVALID_KE_PAYLOAD has been followed once
	cookie   []byte
	cookies  int // cookies asked for: one that never ends is an attack
	ni, nr   []byte
	request  []byte // the IKE_SA_INIT messages as sent: what AUTH signs
	response []byte
	// hashes are those that the peer takes for signatures; nil unless SIGNATURE_HASH_ALGORITHMS goes both ways. Who has a
	// pre-shared key does not look at them.
	hashes []auth.Hash
	// looksUp: the peer gets certificates itself that are named by hash and URL (RFC 7296 section 3.6).
	looksUp bool
	// statusWanted: the peer asks for an OCSP response about this side's certificate (RFC 4806).
	statusWanted bool
	intermediate

	dialogue       *dialogue // once EAP has begun
	wantsPPK       bool      // both sides do
	authWithoutPPK []byte    // the data of AUTH, of an initiator whose PPK is optional
	unmixed        ikeKeys   // the keys without the PPK, once that is mixed in

	alone     bool   // the IKE_SA is wanted even if no Child SA is
	childless bool   // the responder takes that
	renews    *ikeSA // in place of which this side authenticates anew

	redirectedFrom netip.Addr // the gateway that has sent us here, or not valid

	session *session // that is resumed, or nil
	ticket  ticketID // a responder's, by which it is
}

// ikeKeys are the keys of one IKE_SA (RFC 7296 section 2.14).
type ikeKeys struct {
	d       secret.Bytes
	in, out *suite.Cipher
	pi, pr  secret.Bytes // wiped when AUTH is done
}

// association is all that is established, under way or wanted with one peer.
type association struct {
	sas      []*ikeSA
	wanted   []spd.Demand   // waits for an IKE_SA
	underWay []*negotiation // is asked for, or about to be
	granted  []*acceptance  // the peer has asked for it, and is not answered yet
	orphans  []*childSA     // SAs whose IKE_SA was given up by a movement; they serve until they are replaced
}

func (e *Engine) association(name string) *association {
	a := e.peers[name]
	if a == nil {
		a = &association{}
		e.peers[name] = a
	}
	return a
}

// current is the IKE_SA on which new exchanges start: the newest one in use.
func (a *association) current() *ikeSA {
	for _, sa := range slices.Backward(a.sas) {
		if sa.established && !sa.closing && sa.replaces == nil && sa.next == nil {
			return sa
		}
	}
	return nil
}

// starting is the handshake that this side has begun, or nil.
func (a *association) starting() *ikeSA {
	for _, sa := range a.sas {
		if sa.initiator && !sa.established && !sa.closing {
			return sa
		}
	}
	return nil
}

// spis is both SPIs in the order of the header.
func (sa *ikeSA) spis() (spii, spir uint64) {
	if sa.initiator {
		return sa.own, sa.other
	}
	return sa.other, sa.own
}

func (sa *ikeSA) path() spd.Path {
	return spd.Path{Local: sa.local.Addr(), Remote: sa.remote.Addr()}
}

// join puts an IKE_SA into its peer's association.
func (e *Engine) join(sa *ikeSA) {
	a := e.association(sa.peer.Name)
	if !slices.Contains(a.sas, sa) {
		a.sas = append(a.sas, sa)
	}
}

// establish makes an IKE_SA usable and starts its timers.
func (e *Engine) establish(sa *ikeSA) {
	e.halfOpen.close(sa)
	if sa.hs != nil {
		sa.hs.unmixed.wipe()
		sa.hs.dialogue.end()
	}
	sa.hs = nil
	sa.established, sa.since, sa.upAt = true, e.nextID(), e.now
	sa.keys.pi.Wipe()
	sa.keys.pr.Wipe()
	sa.keys.pi, sa.keys.pr = nil, nil
	sa.heardAt = e.now
	e.stop(sa.giveUp)
	e.join(sa)
	e.renewLater(sa)
	e.watchLiveness(sa)
	e.keepAlive(sa)
}

// up tells the role of an IKE_SA that is now in use.
func (e *Engine) up(sa *ikeSA, first bool, replaces uint64) {
	e.watchAuth(sa)
	e.notify(spd.PeerUp{
		Peer: sa.peer.Name, ID: sa.own, Path: sa.path(), Initiator: sa.initiator, First: first, Began: sa.startedAt,
		Replaces: replaces,
	})
}

// retire keeps an IKE_SA only for its end.
func (e *Engine) retire(sa *ikeSA) {
	sa.closing = true
	e.stop(sa.renewal)
	e.stop(sa.authTimer)
	e.stop(sa.liveness)
	e.stop(sa.keepalive)
}

// lose forgets an IKE_SA and its Child SAs without telling the peer, and fails what waited for it.
func (e *Engine) lose(sa *ikeSA, why error) {
	if sa.gone != nil {
		return
	}
	e.discard(sa, why)
	if sa.peer != nil {
		e.failStranded(sa.peer.Name, why)
	}
}

// discard forgets an IKE_SA and its Child SAs. If another one was made in its place, that takes over.
func (e *Engine) discard(sa *ikeSA, why error) {
	e.decide(sa)
	for _, c := range slices.Clone(sa.children) {
		e.removeChild(c, why.Error())
	}
	e.forget(sa, why)
	if sa.established && sa.replaces == nil {
		e.notify(spd.PeerDown{Peer: sa.peer.Name, ID: sa.own, Reason: why.Error()})
	}
}

// forget takes an IKE_SA out of every table; its requests get no answer.
func (e *Engine) forget(sa *ikeSA, why error) {
	sa.gone = why
	if sa.hs != nil && sa.hs.alone {
		e.notify(spd.ConnectFailed{Peer: sa.peer.Name, Err: why})
	}
	if sa.hs != nil && sa.hs.renews != nil {
		e.reauthenticationFailed(sa.hs.renews.heir(), why)
	}
	delete(e.sas, sa.own)
	delete(e.begun, sa.begun)
	e.halfOpen.close(sa)
	if sa.hs != nil {
		sa.hs.dialogue.end()
	}
	for _, t := range []*timer{
		sa.renewal, sa.authTimer, sa.liveness, sa.keepalive, sa.giveUp, sa.retransmit, sa.requestParts.timeout,
	} {
		e.stop(t)
	}
	for _, key := range []secret.Bytes{sa.keys.d, sa.keys.pi, sa.keys.pr} {
		key.Wipe()
	}
	e.abandonFollowUps(sa, why)
	e.abandonRequests(sa, why)
	if sa.peer == nil {
		return
	}
	if a := e.peers[sa.peer.Name]; a != nil {
		for _, n := range slices.Clone(a.underWay) {
			if n.on == sa {
				n.giveUp(e, why)
			}
		}
		a.sas = slices.DeleteFunc(a.sas, func(other *ikeSA) bool { return other == sa })
		e.tidy(sa.peer.Name)
	}
}

// failStranded fails what is wanted of a peer with whom there is no IKE_SA any more, nor one coming. What is being asked
// on one that is closing ends with that.
func (e *Engine) failStranded(peer string, why error) {
	a := e.peers[peer]
	if a == nil || a.current() != nil || a.starting() != nil {
		return
	}
	wanted := a.wanted
	a.wanted = nil
	for _, n := range slices.Clone(a.underWay) {
		if n.on == nil {
			n.giveUp(e, why)
		}
	}
	e.tidy(peer)
	for _, d := range wanted {
		e.failed(d, why)
	}
}

// tidy forgets a peer with whom there is nothing.
func (e *Engine) tidy(name string) {
	a := e.peers[name]
	if a != nil && len(a.sas)+len(a.wanted)+len(a.underWay)+len(a.granted)+len(a.orphans) == 0 {
		delete(e.peers, name)
	}
}

// heir is the IKE_SA that has taken over from this one, or itself.
func (sa *ikeSA) heir() *ikeSA {
	for sa.next != nil {
		sa = sa.next
	}
	return sa
}

// early takes a random tenth to fifth off a lifetime, so that not all peers rekey at once, and not both sides.
func (e *Engine) early(life time.Duration) time.Duration {
	r := e.random(1)[0]
	return life - life/10 - life*time.Duration(r)/2560
}

var (
	errNoAnswer = errors.New("the peer does not answer")
	errGone     = errors.New("the IKE_SA is gone")
	errReplaced = errors.New("the IKE_SA has been replaced")
	errMoved    = errors.New("the peer's path has changed")

	errTerminated = errors.New("terminated")
	errEnding     = errors.New("this host's agent ends")
	errSuperseded = errors.New("the peer began anew")
)
