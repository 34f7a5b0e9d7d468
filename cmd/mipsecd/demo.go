package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"mipsecd/cmd/mipsecd/demo"
)

func demoCommand() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:   "demo",
		Short: "tell the story of a moving node on this machine, without privileges",
		Long: "demo runs a mobile node, its home agent and a correspondent on a virtual network, with kernels in memory\n" +
			"and real IKEv2 messages: at home, to a foreign link, to another, home again. It ends with exit status 0\n" +
			"only if every step held.",
		Example: "  mipsecd demo\n  mipsecd demo --trace demo.pcapng && wireshark demo.pcapng",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
			if err != nil {
				return err
			}
			start := time.Now()
			err = demo.Run(c.Context(), c.OutOrStdout(), f)
			if closing := f.Close(); err == nil {
				err = closing
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "\nEvery step held, in %.1f s. The decrypted IKE messages: %s\n", time.Since(start).Seconds(), path)
			return nil
		},
	}
	c.Flags().StringVar(&path, "trace", filepath.Join(os.TempDir(), "mipsecd-demo.pcapng"), "`file` for the decrypted IKE messages")
	return c
}
