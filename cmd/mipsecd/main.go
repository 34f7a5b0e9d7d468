// EAP-TLS makes the MSK in TLS 1.2 also with peers that lack the Extended Master Secret, such as strongSwan. What this
// guards against, RFC 7627 section 1, needs a server that the mobile node believes: here that is the home agent, which has
// proven itself to be the right one before EAP begins.
//go:debug tlsunsafeekm=1

// Command mipsecd keys the IPsec of Mobile IPv6, on a mobile node or on its home agent, and keeps it alive while the
// mobile node moves.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"mipsecd/cmd/mipsecd/agent"
	"mipsecd/configs"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "mipsecd: %v\n", err)
		os.Exit(1)
	}
}

const defaultConfig = "/etc/mipsecd/mipsecd.toml"

func command() *cobra.Command {
	root := &cobra.Command{
		Use:   "mipsecd",
		Short: "keys and keeps alive the IPsec of Mobile IPv6",
		Long: "mipsecd runs on a mobile node and on its home agent, beside their mobility daemon: it hears the kernel's\n" +
			"calls for SAs, runs IKEv2 from the care-of address for SAs on the home address (RFC 4877), and moves\n" +
			"what is established when the mobile node moves.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(runCommand(), checkCommand(), statusCommand(), connectCommand(), reauthenticateCommand(), redirectCommand(), traceCommand(), bundleCommand(), demoCommand())
	return root
}

// controlFlag adds --control SOCKET.
func controlFlag(c *cobra.Command, client *agent.Client) {
	c.Flags().StringVar(&client.Socket, "control", configs.DefaultControlSocket, "control `socket` of the agent")
}

// configFlag adds -c FILE.
func configFlag(c *cobra.Command, path *string) {
	c.Flags().StringVarP(path, "config", "c", defaultConfig, "configuration `file`")
}
