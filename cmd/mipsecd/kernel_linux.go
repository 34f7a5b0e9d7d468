package main

import (
	"errors"
	"fmt"

	"mipsecd/cmd/mipsecd/agent"
	"mipsecd/configs"
	"mipsecd/spd"
	"mipsecd/spd/pfkey"
	"mipsecd/spd/xfrm"
)

// kernel is the chosen way into the kernel's IPsec.
type kernel struct {
	name    string
	backend spd.Backend
	careOf  agent.CareOfSource // where the backend does not see them itself
	watch   *xfrm.Backend
}

// openKernel opens the kernel's IPsec. Without a choice XFRM comes first: it tells more. PF_KEY does not see the Mobile
// IPv6 states, which are heard by XFRM in either case.
func openKernel(choice configs.Kernel) (*kernel, error) {
	if choice == configs.XFRM || choice == configs.Auto {
		b, err := xfrm.Open()
		if err == nil {
			return &kernel{name: "xfrm", backend: b}, nil
		}
		if choice == configs.XFRM {
			return nil, fmt.Errorf("kernel = \"xfrm\": %w", err)
		}
	}
	b, err := pfkey.Open()
	if err != nil {
		return nil, fmt.Errorf("neither XFRM nor PF_KEY can be used: %w", err)
	}
	k := &kernel{name: "pfkey", backend: b}
	if k.watch, err = xfrm.Open(xfrm.CareOfOnly()); err == nil {
		k.careOf = k.watch
	}
	return k, nil
}

func (k *kernel) Close() error {
	err := k.backend.Close()
	if k.watch != nil {
		err = errors.Join(err, k.watch.Close())
	}
	return err
}
