package main

import (
	"context"

	"github.com/spf13/cobra"

	"mipsecd/cmd/mipsecd/agent"
)

func connectCommand() *cobra.Command {
	return peerCommand("connect", "set an IKE_SA up with a peer, though nothing calls for SAs yet", agent.Client.Connect)
}

func reauthenticateCommand() *cobra.Command {
	return peerCommand("reauthenticate", "authenticate anew with a peer", agent.Client.Reauthenticate)
}

// peerCommand has the running agent do something about a peer.
func peerCommand(name, what string, ask func(agent.Client, context.Context, string) error) *cobra.Command {
	var client agent.Client
	c := &cobra.Command{
		Use:     name + " PEER",
		Short:   "have the running agent " + what,
		Example: "  mipsecd " + name + " ha.example.org",
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return ask(client, c.Context(), args[0]) },
	}
	controlFlag(c, &client)
	return c
}

func redirectCommand() *cobra.Command {
	var client agent.Client
	c := &cobra.Command{
		Use:     "redirect PEER ADDRESS",
		Short:   "have the running home agent send a mobile node that follows to another address",
		Example: "  mipsecd redirect mn1@example.org 2001:db8:1::2",
		Args:    cobra.ExactArgs(2),
		RunE:    func(c *cobra.Command, args []string) error { return client.Redirect(c.Context(), args[0], args[1]) },
	}
	controlFlag(c, &client)
	return c
}
