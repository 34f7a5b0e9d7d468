package configs

import (
	"log/slog"
	"net/netip"
	"os"

	"mipsecd/homeagent"
	"mipsecd/ikev2"
	"mipsecd/ikev2/auth"
	"mipsecd/ikev2/suite"
	"mipsecd/migrate"
	"mipsecd/spd"
	"mipsecd/spd/manual"
)

// Role is the part that mipsecd plays.
type Role uint8

// The roles.
const (
	MobileNode Role = iota + 1
	HomeAgent
)

func (r Role) String() string { return [...]string{"no role", "mobile node", "home agent"}[r] }

// Kernel is the interface to the kernel's IPsec.
type Kernel uint8

// The interfaces. Auto is XFRM where the system has it, and PF_KEY elsewhere.
const (
	Auto Kernel = iota
	XFRM
	PFKey
)

func (k Kernel) String() string { return [...]string{"auto", "XFRM", "PF_KEY"}[k] }

// Config is the configuration of one mipsecd. Paths in it are absolute, or relative to the working directory.
type Config struct {
	Role     Role
	Identity ikev2.Identity // that this host proves
	Address  netip.Addr     // of the home agent; the zero Addr on a mobile node
	// Addresses are all of the home agent's that peers with MOBIKE may use, Address first.
	Addresses []netip.Addr
	Kernel    Kernel
	// OwnPolicies: mipsecd installs and moves the policies, not the mobility daemon.
	OwnPolicies bool
	// Homes are the home addresses, with the peer of each, in the order of the file. One that is assigned is the zero Addr.
	Homes []migrate.Home
	// Pool is what a home agent assigns.
	Pool homeagent.Pool
	// Peers are the home agents of a mobile node, or the mobile nodes of a home agent, in the order of the file.
	Peers []*ikev2.Peer
	// Manual are the SAs with other peers, whose keys are in the configuration: no key exchange is spoken with these.
	Manual []manual.Pair
	// Discoveries say, by the name of the peer, how home agents are found whose address is not configured: in their Homes it is
	// the zero Addr.
	Discoveries map[string]Discovery
	// Trusts are all that the peers' certificates are believed by, in IKE or in EAP-TLS.
	Trusts []*auth.Trust
	// RADIUS, if not nil, is asked about those of the peers that are its Users: their EAP says only that there is EAP.
	RADIUS *RADIUS
	// IKE are the proposals of all peers, for one that has not said yet who it is.
	IKE []suite.Proposal
	// Childless: a peer may set an IKE_SA up without a Child SA (RFC 6023).
	Childless bool
	// NAT says what is done about NATs.
	NAT    ikev2.NATTraversal
	Timing ikev2.Timing
	Limits ikev2.Limits
	// Interfaces are those whose addresses may be care-of addresses; empty allows all.
	Interfaces []string
	// HomeInterface is where a mobile node has a home address that is assigned.
	HomeInterface string
	// ControlSocket is the path of the socket on which the running agent is asked and told.
	ControlSocket string
	LogLevel      slog.Level
	// HostSecretFile is the path of the file with the host's secret, which is made if it is not there; empty for none.
	HostSecretFile string
	// FragmentSize is that of ikev2.Config.
	FragmentSize int
	// RedirectTo is where a home agent sends those who begin; the zero Addr for nowhere.
	RedirectTo netip.Addr
	// CrashDetection: peers are told of a crash of this host, and believed when they tell of theirs (RFC 6290).
	CrashDetection bool
	// TraceFile gets the messages of the key exchanges in clear, without keys; empty for none.
	TraceFile string
	// Shards is how many engines share the work, at most 256; zero for one a processor.
	Shards int
}

// Load reads a configuration and the secrets and certificates that it names. If the file can be read but not used, the error joins an
// *Error for each thing that is wrong.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, data, readFile)
}

// DefaultESP are the proposals for Child SAs where nothing is configured. Linux's PF_KEY has neither AEAD ciphers nor
// SHA2-256, truncated as IKEv2 wants it; so that two ends agree whatever the kernel interface of each, what it has is
// the last choice with XFRM.
func DefaultESP(k Kernel) []suite.Proposal {
	common := suite.Proposal{
		Encr:  []suite.Encryption{{ID: spd.EncrAESCBC, KeyBits: 128}, {ID: spd.EncrAESCBC, KeyBits: 256}},
		Integ: []spd.Integ{spd.IntegSHA512_256},
		ESN:   []bool{false},
	}
	if k == PFKey {
		return []suite.Proposal{common}
	}
	return append(suite.DefaultESP(), common)
}

// DefaultControlSocket is where the running agent is asked and told if the configuration does not say.
const DefaultControlSocket = "/run/mipsecd/control"
