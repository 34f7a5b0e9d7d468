package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"mipsecd/cmd/mipsecd/agent"
)

func statusCommand() *cobra.Command {
	var client agent.Client
	var asJSON bool
	c := &cobra.Command{
		Use:     "status",
		Short:   "show bindings, IKE_SAs and Child SAs of the running agent",
		Example: "  mipsecd status\n  mipsecd status --json | jq .bindings",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := client.Status(c.Context())
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
	controlFlag(c, &client)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
