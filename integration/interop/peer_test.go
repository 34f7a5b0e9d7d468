//go:build linux

package interop

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// peer is the IKEv2 daemon of others that mipsecd is tested against, running on one host of the lab. The methods that take
// a test fail it when the daemon does not do what it is told.
type peer interface {
	// name is what the tests call it; version is what it says itself that it is.
	name() string
	version(*testing.T) string
	// lacks is why it cannot have a case, after it has shown so, and "" where it can.
	lacks(t *testing.T, name string) string
	// configure gives the daemon mipsecd as its one peer, in place of what it had.
	configure(*testing.T, peerOptions)
	// initiate has it ask for the Child SA of a kind of traffic, and fails when it does not get it.
	initiate(traffic) error
	rekeyChild(*testing.T, traffic)
	rekeyIKE(*testing.T)
	deleteChild(*testing.T, traffic)
	deleteIKE(*testing.T)
	// clear makes it forget its IKE_SAs, whatever mipsecd says.
	clear(*testing.T)
	// press has it ask initiators for cookies from now on.
	press(*testing.T)
	// established are the IKE_SAs that it has.
	established(*testing.T) []peerSA
	// log is what it has logged so far; says is the pattern of what it logs in an event.
	log(*testing.T) string
	says(event) string
	// verifies are patterns of what it logs when both have proven themselves by signatures with keys of a kind.
	verifies(kind string) []string
	signal(*testing.T, os.Signal)
}

// peerOptions are what the tests vary of a peer. The zero value of each is the usual.
type peerOptions struct {
	suite
	identities
	secret   string
	papers   *papers // certificates in place of the secret
	liveness string  // how long mipsecd may be silent, as "1s"; without it, for ever
	lifetime int     // seconds after which it rekeys Child SAs, and soon after IKE_SAs; without it, never
}

// peerSA is an IKE_SA as a peer tells of it.
type peerSA struct {
	spis     string // the initiator's and the responder's, in hexadecimal digits, if it tells
	children []childSA
}

// event is something that a peer logs.
type event string

const (
	refusesAuth    event = "refuses authentication"
	refusesEAP     event = "EAP fails"
	noProposal     event = "NO_PROPOSAL_CHOSEN in IKE_SA_INIT"
	cookieAsked    event = "a cookie is asked for"
	wrongKE        event = "INVALID_KE_PAYLOAD in IKE_SA_INIT"
	wrongKEInChild event = "INVALID_KE_PAYLOAD in CREATE_CHILD_SA"
	probeAnswered  event = "it is answered when it asks for a sign of life"
	probeReceived  event = "it is asked for a sign of life"
	givesUp        event = "it gives up waiting for an answer"
)

// because finds in what a peer says why it lacks something: in its log, or in the error of a program of its.
func because(t *testing.T, said any, pattern string) string {
	t.Helper()
	found := regexp.MustCompile(pattern).FindString(fmt.Sprint(said))
	if found == "" {
		t.Fatalf("no %q in: %v", pattern, said)
	}
	return found
}

// ask runs the program that gives a daemon commands, with more in its environment, and yields what it says.
func ask(env []string, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", filepath.Base(program), strings.Join(args, " "), err, out)
	}
	return string(out), nil
}
