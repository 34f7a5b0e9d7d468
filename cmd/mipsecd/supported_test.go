package main

import (
	"strings"
	"testing"

	"mipsecd/configs"
	"mipsecd/ikev2"
	"mipsecd/ikev2/suite"
	"mipsecd/spd"
	"mipsecd/spd/manual"
)

// sha1Only is a kernel without SHA2.
type sha1Only struct{ spd.Backend }

func (sha1Only) Supports(_ spd.Encr, i spd.Integ) bool { return i == spd.IntegSHA1_96 }

// Of proposals there is a choice; an SA with manual keys has none.
func TestOnlyWhatTheKernelSupports(t *testing.T) {
	p, err := suite.ParseESP("aes128-sha256-sha1")
	if err != nil {
		t.Fatal(err)
	}
	cfg := &configs.Config{Peers: []*ikev2.Peer{{Name: "mn", ESP: []suite.Proposal{p}}}}
	if err := onlySupported(sha1Only{}, cfg); err != nil || cfg.Peers[0].ESP[0].String() != "aes128-sha1" {
		t.Errorf("got %v, %v", cfg.Peers[0].ESP, err)
	}
	sha2 := spd.Transform{Encr: spd.EncrAESCBC, Integ: spd.IntegSHA256_128}
	cfg.Manual = []manual.Pair{{Peer: "mn2", Suite: "aes128-sha256", In: manual.SA{Transform: sha2}, Out: manual.SA{Transform: sha2}}}
	if err := onlySupported(sha1Only{}, cfg); err == nil || !strings.Contains(err.Error(), "peer mn2: the kernel cannot do aes128-sha256 ") {
		t.Errorf("got %v", err)
	}
}
