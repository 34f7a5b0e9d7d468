package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"mipsecd/cmd/mipsecd/agent"
	"mipsecd/ikev2/wire"
	"mipsecd/internal/pcapng"
)

func traceCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "trace FILE",
		Short: "show a trace of decrypted messages, a line each",
		Long: "trace shows what an agent has written to its trace: every message of the key exchange in clear, without\n" +
			"keys. Wireshark opens the same file. A running agent is told to write one with \"trace start\".",
		Example: "  mipsecd trace start /tmp/mipsecd.pcapng\n  mipsecd trace stop\n  mipsecd trace /tmp/mipsecd.pcapng",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			if err := showTrace(c.OutOrStdout(), f); err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return nil
		},
	}
	c.AddCommand(traceStartCommand(), traceStopCommand())
	return c
}

func traceStartCommand() *cobra.Command {
	var client agent.Client
	c := &cobra.Command{
		Use:     "start FILE",
		Short:   "have the running agent write a trace to a file, in place of an earlier trace",
		Example: "  mipsecd trace start /tmp/mipsecd.pcapng",
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return client.StartTrace(c.Context(), args[0]) },
	}
	controlFlag(c, &client)
	return c
}

func traceStopCommand() *cobra.Command {
	var client agent.Client
	c := &cobra.Command{
		Use:     "stop",
		Short:   "end the running agent's trace",
		Example: "  mipsecd trace stop",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return client.StopTrace(c.Context()) },
	}
	controlFlag(c, &client)
	return c
}

// showTrace writes a line for each message. The trace of an agent that is still running may end within one: then what
// precedes it is shown.
func showTrace(out io.Writer, file io.Reader) error {
	w := bufio.NewWriter(out)
	defer w.Flush()
	r := pcapng.NewReader(bufio.NewReader(file))
	for {
		p, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return w.Flush()
		case err != nil:
			return errors.Join(w.Flush(), err)
		}
		fmt.Fprintf(w, "%s  %s > %s  %s\n", p.Time.Format("2006-01-02 15:04:05.000000"), p.Src, p.Dst, summary(p))
	}
}

// summary says what a message is, and to which IKE_SA it belongs by its initiator's SPI.
func summary(p pcapng.PDU) string {
	m, err := wire.Parse(p.Data)
	if err != nil {
		return fmt.Sprintf("unreadable: %v", err)
	}
	return fmt.Sprintf("%016x  %s", m.SPIi, wire.Describe(m.Header, m.Payloads))
}
