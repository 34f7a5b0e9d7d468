package agent

import (
	"mipsecd/configs"
	"mipsecd/homeagent"
	"mipsecd/ikev2"
	"mipsecd/mobilenode"
)

// FromConfig fills in what a configuration decides; surroundings are left to the caller.
func FromConfig(c *configs.Config) (Options, error) {
	peers, err := ikev2.NewPeerList(c.Peers...)
	if err != nil {
		return Options{}, err
	}
	opt := Options{Engine: ikev2.Config{Peers: peers, IKE: c.IKE, Timing: c.Timing}, Shards: c.Shards}
	if c.Role == configs.HomeAgent {
		opt.Role = homeagent.New(c.Homes, c.OwnPolicies)
	} else {
		opt.Role = mobilenode.New(c.Homes, c.OwnPolicies)
	}
	return opt, nil
}
