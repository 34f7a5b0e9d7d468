package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"mipsecd/ikev2"
	"mipsecd/spd"
)

// Status is what `mipsecd status --json` prints. Times are RFC 3339, SPIs hexadecimal.
type Status struct {
	Bindings []Binding `json:"bindings"`
	IKESAs   []IKESA   `json:"ike_sas"`
	// Manual are the SAs whose keys are manual.
	Manual []ManualSA `json:"manual_sas"`
	// Trace is the file that the messages are written to, empty if they are not.
	Trace string `json:"trace"`
}

// Binding is one home address and where it is.
type Binding struct {
	Peer        string     `json:"peer"`
	HomeAddress netip.Addr `json:"home_address"`
	HomeAgent   netip.Addr `json:"home_agent"`
	// CareOf is the home address at home, and null as long as nothing is known.
	CareOf *netip.Addr `json:"care_of_address"`
	Since  *time.Time  `json:"since"`
	// Assigned: the home address is not configured, but the home agent's choice. DNS are the name servers that a mobile
	// node was told with it.
	Assigned bool         `json:"assigned"`
	DNS      []netip.Addr `json:"dns"`
}

// IKESA is one IKE_SA and its Child SAs.
type IKESA struct {
	Peer      string         `json:"peer"`
	SPIi      string         `json:"spi_i"`
	SPIr      string         `json:"spi_r"`
	Initiator bool           `json:"initiator"`
	State     string         `json:"state"` // "established" or "connecting"
	Local     netip.AddrPort `json:"local"`
	Remote    netip.AddrPort `json:"remote"`
	Suite     string         `json:"suite"`
	PPK       bool           `json:"ppk"` // a post-quantum pre-shared key is in the keys
	Children  []ChildSA      `json:"child_sas"`
}

// ManualSA is a pair of SAs with a peer with which no key exchange is spoken.
type ManualSA struct {
	Peer string `json:"peer"`
	ChildSA
}

// ChildSA is a pair of SAs. Local and Remote are their addresses, not those of the IKE_SA.
type ChildSA struct {
	Protects string     `json:"protects"`
	Mode     string     `json:"mode"`
	SPIIn    string     `json:"spi_in"`
	SPIOut   string     `json:"spi_out"`
	ReqidIn  uint32     `json:"reqid_in"`
	ReqidOut uint32     `json:"reqid_out"`
	Local    netip.Addr `json:"local"`
	Remote   netip.Addr `json:"remote"`
	LocalTS  []string   `json:"local_ts"`
	RemoteTS []string   `json:"remote_ts"`
	Suite    string     `json:"suite"`
	Encap    string     `json:"encap"` // the UDP ports of what goes out where a NAT is between, else "none"
}

// Status asks role and engines how things are. It fails when the agent is not running.
func (a *Agent) Status() (Status, error) {
	s := Status{Bindings: []Binding{}, IKESAs: []IKESA{}, Manual: []ManualSA{}, Trace: a.tracing.name()}
	answered := make(chan struct{})
	select {
	case a.calls <- func() {
		for _, p := range a.opt.Role.Places() {
			b := Binding{
				Peer: p.Peer, HomeAddress: p.HomeAddress, HomeAgent: p.HomeAgent, Assigned: p.Assigned, DNS: append([]netip.Addr{}, p.DNS...),
			}
			if p.CareOf.IsValid() {
				b.CareOf, b.Since = &p.CareOf, &p.Since
			}
			s.Bindings = append(s.Bindings, b)
		}
		for _, p := range a.manual.Status() {
			s.Manual = append(s.Manual, ManualSA{p.Peer, describeChild(p.Demand, p.In.SPI, p.Out.SPI, p.Suite, spd.Encap{})})
		}
		close(answered)
	}:
		<-answered
	case <-a.done:
		return s, errors.New("the agent is not running")
	}
	for _, shard := range a.shards {
		var sas []ikev2.SAStatus
		shard.ask(func(e *ikev2.Engine) { sas = e.Status() })
		for _, sa := range sas {
			s.IKESAs = append(s.IKESAs, describeIKE(sa))
		}
	}
	return s, nil
}

func describeIKE(sa ikev2.SAStatus) IKESA {
	out := IKESA{
		Peer: sa.Peer, SPIi: fmt.Sprintf("%016x", sa.SPIi), SPIr: fmt.Sprintf("%016x", sa.SPIr), Initiator: sa.Initiator,
		State: "connecting", Local: sa.Local, Remote: sa.Remote, Children: []ChildSA{},
	}
	if sa.Established {
		out.State, out.Suite, out.PPK = "established", sa.Suite, sa.PPK
	}
	for _, c := range sa.Children {
		out.Children = append(out.Children, describeChild(c.Demand, c.In.SPI, c.Out.SPI, c.Suite, c.Encap))
	}
	return out
}

func describeChild(d spd.Demand, in, out uint32, suite string, encap spd.Encap) ChildSA {
	return ChildSA{
		Protects: d.Name, Mode: d.Mode.String(), SPIIn: fmt.Sprintf("%08x", in), SPIOut: fmt.Sprintf("%08x", out),
		ReqidIn: d.ReqidIn, ReqidOut: d.ReqidOut, Local: d.Local, Remote: d.Remote,
		LocalTS: texts(d.Traffic.Local), RemoteTS: texts(d.Traffic.Remote), Suite: suite, Encap: encap.String(),
	}
}

func texts(list []spd.TrafficSelector) (out []string) {
	for _, ts := range list {
		out = append(out, ts.String())
	}
	return out
}
