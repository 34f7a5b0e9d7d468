package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"mipsecd/configs"
)

func checkCommand() *cobra.Command {
	var path string
	var reference bool
	c := &cobra.Command{
		Use:   "check",
		Short: "validate a configuration and show the policies that it means",
		Long: "check reads a configuration and its secret files. It prints the policies and traffic selectors that it\n" +
			"means, or all its errors at once, and then ends with exit status 1.",
		Example: "  mipsecd check -c home-agent.toml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if reference {
				fmt.Fprint(c.OutOrStdout(), configs.Reference())
				return nil
			}
			cfg, err := configs.Load(path)
			if err != nil {
				return err
			}
			fmt.Fprint(c.OutOrStdout(), configs.Describe(cfg))
			return nil
		},
	}
	configFlag(c, &path)
	c.Flags().BoolVar(&reference, "keys", false, "print what every key of the configuration takes, and end")
	return c
}
