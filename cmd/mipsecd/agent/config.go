package agent

import (
	"slices"

	"mipsecd/configs"
	"mipsecd/homeagent"
	"mipsecd/ikev2"
	"mipsecd/ikev2/auth"
	"mipsecd/internal/secret"
	"mipsecd/mobilenode"
)

// FromConfig fills in what a configuration and the host's secret decide; surroundings are left to the caller.
func FromConfig(c *configs.Config, host secret.Bytes) (Options, error) {
	peers, err := ikev2.NewPeerList(c.Peers...)
	if err != nil {
		return Options{}, err
	}
	var trusts []*auth.Trust
	signs := false
	for _, p := range c.Peers {
		if p.Trust != nil {
			trusts = append(trusts, p.Trust)
		}
		signs = signs || p.Credential != nil
	}
	opt := Options{Shards: c.Shards, Manual: c.Manual, Engine: ikev2.Config{
		Peers:          peers,
		IKE:            c.IKE,
		CertRequests:   auth.Requests(trusts...),
		Signs:          signs,
		PPK:            slices.ContainsFunc(c.Peers, func(p *ikev2.Peer) bool { return p.PPK != nil }),
		Childless:      c.Childless,
		CrashDetection: c.CrashDetection,
		FragmentSize:   c.FragmentSize,
		RedirectTo:     c.RedirectTo,
		NAT:            c.NAT,
		Addresses:      c.Addresses,
		Timing:         c.Timing,
		Limits:         c.Limits,
		Secret:         host,
	}}
	if c.Role == configs.HomeAgent {
		opt.Role = homeagent.New(c.Homes, c.OwnPolicies, c.Pool)
	} else {
		opt.Role = mobilenode.New(c.Homes, c.OwnPolicies, host)
	}
	return opt, nil
}
