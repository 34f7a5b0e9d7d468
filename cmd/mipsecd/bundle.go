package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"mipsecd/ikev2/auth"
)

func bundleCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "bundle CERTIFICATES",
		Short: "make the bundle of certificates that certificate-bundle-url leads to",
		Long: "bundle reads the certificates of a PEM file, such as certificate-file, and writes them to the standard output\n" +
			"as the one bundle (RFC 7296 section 3.6) that a peer fetches from certificate-bundle-url.",
		Example: "  mipsecd bundle /etc/mipsecd/mn.pem > /var/www/mn.bundle",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			certs, err := auth.ParseCertificates(text)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			_, err = c.OutOrStdout().Write(auth.Bundle(certs))
			return err
		},
	}
}
