package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"mipsecd/cmd/mipsecd/agent"
	"mipsecd/configs"
)

func statusCommand() *cobra.Command {
	var socket string
	var asJSON bool
	c := &cobra.Command{
		Use:     "status",
		Short:   "show bindings, IKE_SAs and Child SAs of the running agent",
		Example: "  mipsecd status\n  mipsecd status --json | jq .bindings",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := agent.AskStatus(c.Context(), socket)
			if err != nil {
				return err
			}
			if !asJSON {
				fmt.Fprint(c.OutOrStdout(), s.Table())
				return nil
			}
			out := json.NewEncoder(c.OutOrStdout())
			out.SetIndent("", "  ")
			return out.Encode(s)
		},
	}
	c.Flags().StringVar(&socket, "control", configs.DefaultControlSocket, "control `socket` of the agent")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
