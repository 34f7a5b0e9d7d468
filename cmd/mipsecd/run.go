package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"mipsecd/cmd/mipsecd/agent"
	"mipsecd/cmd/mipsecd/web"
	"mipsecd/configs"
	"mipsecd/ikev2"
	"mipsecd/ikev2/auth"
	"mipsecd/internal/addrs"
	"mipsecd/internal/udp"
	"mipsecd/spd"
)

func runCommand() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:     "run",
		Short:   "run the agent in the foreground",
		Example: "  mipsecd run -c /etc/mipsecd/mipsecd.toml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := configs.Load(path)
			if err != nil {
				return err
			}
			return run(c.Context(), cfg)
		},
	}
	configFlag(c, &path)
	return c
}

// run opens kernel and network, and runs the agent on them until ctx ends.
func run(ctx context.Context, cfg *configs.Config) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: cfg.LogLevel}))
	kernel, err := openKernel(cfg.Kernel)
	if err != nil {
		return err
	}
	defer kernel.Close()
	if err := onlySupported(kernel.backend, cfg); err != nil {
		return err
	}
	agent.AskRADIUS(ctx, cfg)
	host, err := hostSecret(cfg.HostSecretFile)
	if err != nil {
		return fmt.Errorf("host-secret-file: %w", err)
	}
	opt, err := agent.FromConfig(cfg, host)
	if err != nil {
		return err
	}
	opt.Engine.Rand = rand.Reader
	goOnline(cfg.Trusts, log)
	opt.Watch = agent.Log(log)
	opt.Backend, opt.CareOf = kernel.backend, kernel.careOf
	if opt.Conn, err = listen(cfg.NAT); err != nil {
		return err
	}
	watcher, err := addrs.Watch()
	if err != nil {
		return fmt.Errorf("watching addresses: %w", err)
	}
	defer watcher.Close()
	opt.HomeAddresses = homeInterface{cfg.HomeInterface}
	opt.Addresses = usable(ctx, watcher, cfg)
	opt.HomeAgents = homeAgents{ctx, cfg.Discoveries}
	if opt.Acknowledged, err = acknowledgements(ctx, cfg); err != nil {
		return err
	}

	a := agent.New(opt)
	if cfg.TraceFile != "" {
		if err := a.StartTrace(cfg.TraceFile); err != nil {
			return err
		}
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		if err := a.Control(ctx, cfg.ControlSocket); err != nil {
			stop(err)
		}
	}()
	for _, home := range cfg.Homes {
		if home.Manual {
			log.Warn("manual keys: "+configs.ManualRisk, "peer", home.Peer)
		}
	}
	log.Info("mipsecd is running", "role", cfg.Role.String(), "kernel", kernel.name, "control", cfg.ControlSocket)
	if err := a.Run(ctx); err != nil {
		return err
	}
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// listen opens the ports of IKE.
func listen(nat ikev2.NATTraversal) (udp.Conn, error) {
	ike, err := udp.Listen(ikev2.Port, udp.Options{})
	if err != nil || nat == ikev2.NATNever {
		return ike, err
	}
	beside, err := udp.Listen(ikev2.NATPort, udp.Options{ESP: true})
	if err != nil {
		ike.Close()
		return nil, fmt.Errorf("nat-traversal: %w", err)
	}
	return udp.Join(udp.Port{Number: ikev2.Port, Conn: ike},
		udp.Port{Number: ikev2.NATPort, Conn: udp.BesideESP(beside)}), nil
}

// goOnline has OCSP responders asked about the peers' certificates, and certificates fetched, where the configuration
// wants it.
func goOnline(trusts []*auth.Trust, log *slog.Logger) {
	responders := web.NewResponders(func(url string, err error) {
		log.Warn("the OCSP responder does not say that a certificate is good", "url", url, "error", err)
	})
	certificates := web.NewCertificates()
	for _, t := range trusts {
		t.Responders, t.Fetcher = responders, certificates
	}
}

// onlySupported takes out of the ESP proposals what the kernel cannot do. Of manual keys nothing can be taken out.
func onlySupported(kernel spd.Backend, cfg *configs.Config) error {
	k, ok := kernel.(interface {
		Supports(spd.Encr, spd.Integ) bool
	})
	if !ok {
		return nil
	}
	for _, p := range cfg.Manual {
		if t := p.In.Transform; !k.Supports(t.Encr, t.Integ) {
			return fmt.Errorf("peer %s: the kernel cannot do %s with its manual keys; aes256-sha1 or aes256-sha512 would do", p.Peer, p.Suite)
		}
	}
	for _, p := range cfg.Peers {
		wanted := p.ESP
		p.ESP = nil
		for _, proposal := range wanted {
			if restricted, ok := proposal.Restrict(k.Supports); ok {
				p.ESP = append(p.ESP, restricted)
			}
		}
		if len(p.ESP) == 0 {
			return fmt.Errorf("peer %s: the kernel can do none of the ESP proposals %v; aes128-sha1 or aes128-sha512 would do", p.Name, wanted)
		}
	}
	return nil
}
