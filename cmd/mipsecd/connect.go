package main

import (
	"github.com/spf13/cobra"

	"mipsecd/cmd/mipsecd/agent"
)

func connectCommand() *cobra.Command {
	var client agent.Client
	c := &cobra.Command{
		Use:     "connect PEER",
		Short:   "have the running agent set an IKE_SA up with a peer, though nothing calls for SAs yet",
		Example: "  mipsecd connect ha.example.org",
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return client.Connect(c.Context(), args[0]) },
	}
	controlFlag(c, &client)
	return c
}
