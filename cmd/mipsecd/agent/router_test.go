package agent

import (
	"testing"

	"mipsecd/spd"
)

func TestRouter(t *testing.T) {
	r := NewRouter(4)
	route := func(c spd.Command, from, to int) {
		t.Helper()
		if f, o := r.Route(c); f != from || o != to {
			t.Errorf("%+v goes to %d up to %d, want %d up to %d", c, f, o, from, to)
		}
	}
	key := spd.Key{Demand: spd.Demand{Peer: "mn"}}
	begun, _ := r.Route(key)
	route(spd.Connect{Peer: "mn"}, begun, begun+1)
	for _, id := range []uint64{1 << 56, 3<<56 | 7} {
		if told, ok := r.Heard(spd.PeerUp{Peer: "mn", ID: id}); told != (spd.Met{Peer: "mn", ID: id}) || !ok {
			t.Errorf("told %+v, %v", told, ok)
		}
	}
	route(key, 3, 4)
	if told, ok := r.Heard(spd.PeerDown{Peer: "mn", ID: 3<<56 | 7}); ok {
		t.Errorf("told %+v", told)
	}
	route(key, 1, 2)
	r.Heard(spd.PeerDown{Peer: "mn", ID: 1 << 56})
	route(key, begun, begun+1)
	route(spd.Grant{Request: 2<<56 | 9}, 2, 3)
	route(spd.AddressGrant{Request: 9}, 0, 1)
	route(spd.Terminate{Peer: "mn"}, 0, 4)
	if _, ok := NewRouter(1).Heard(spd.PeerUp{Peer: "mn", ID: 5}); ok {
		t.Error("the one engine is told what it has said")
	}
}
