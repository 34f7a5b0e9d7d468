package agent

import (
	"errors"
	"fmt"

	"mipsecd/spd"
	"mipsecd/spd/manual"
)

// ByHand is a notice about SAs whose keys are manual.
type ByHand struct{ spd.Notice }

// carry carries out, in their order, the effects of manual keys. The role's goroutine calls it.
func (a *Agent) carry(effects []manual.Effect) {
	type failure struct {
		id  spd.SAID
		err error
	}
	var failed []failure
	for _, effect := range effects {
		switch f := effect.(type) {
		case manual.Install:
			if err := a.opt.Backend.Install(f.SA); err != nil && !errors.Is(err, spd.ErrExists) {
				failed = append(failed, failure{f.ID(), err})
			}
		case manual.Remove:
			if err := a.opt.Backend.Remove(f.ID); !errors.Is(err, spd.ErrNotFound) {
				a.failed("removing "+f.ID.String(), err)
			}
		case manual.Verify:
			a.failed("comparing SAs with the kernel", a.compareManual())
		case manual.Notice:
			a.watch(ByHand{f.Notice})
			a.notices.put(f.Notice)
		}
	}
	for _, f := range failed {
		a.failed("installing "+f.id.String(), f.err)
		a.carry(a.manual.Failed(f.id, f.err))
	}
}

// compareManual has the SAs of manual keys made good that are not in the kernel as they should be.
func (a *Agent) compareManual() error {
	if len(a.opt.Manual) == 0 {
		return nil
	}
	sas, err := a.opt.Backend.SAs()
	if err != nil {
		return fmt.Errorf("reading the SAs: %w", err)
	}
	a.carry(a.manual.Compare(sas))
	return nil
}
