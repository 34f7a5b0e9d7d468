package agent

import (
	"context"
	"errors"
	"slices"
	"time"

	"mipsecd/ikev2"
	"mipsecd/internal/udp"
	"mipsecd/spd"
)

// maxShards is what the octet of an SPI that tells the shard has room for, and more than any machine needs.
const maxShards = 256

// shard is one engine and the goroutine that owns it.
type shard struct {
	agent  *Agent
	engine *ikev2.Engine
	inbox  *mailbox[any] // ikev2.Input, or func() to be called by the owner
}

// run gives the engine its inputs, and a tick when its deadline comes.
func (s *shard) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wake(timer, s.engine.Deadline())
		select {
		case <-s.inbox.wake:
			for _, in := range s.inbox.take() {
				if call, ok := in.(func()); ok {
					call()
				} else {
					s.step(in.(ikev2.Input))
				}
			}
		case <-timer.C:
			s.step(ikev2.Tick{})
		case <-ctx.Done():
			return
		}
	}
}

// wake sets a timer to a deadline; the zero Time is none.
func wake(timer *time.Timer, at time.Time) {
	if at.IsZero() {
		timer.Stop()
	} else {
		timer.Reset(time.Until(at))
	}
}

// ask has the owner call f, and waits for it. It must not be called by an owner.
func (s *shard) ask(f func(*ikev2.Engine)) {
	answered := make(chan struct{})
	s.inbox.put(func() {
		f(s.engine)
		close(answered)
	})
	select {
	case <-answered:
	case <-s.agent.done:
	}
}

// step carries out, in their order, the effects of one input.
func (s *shard) step(in ikev2.Input) {
	a := s.agent
	for _, effect := range s.engine.Step(time.Now(), in) {
		switch f := effect.(type) {
		case ikev2.Send:
			a.failed("sending to "+f.Remote.String(), a.opt.Conn.Send(udp.Datagram(f.Datagram)))
		case ikev2.Install:
			if err := a.opt.Backend.Install(f.SA); err != nil {
				s.inbox.put(ikev2.InstallFailed{Peer: f.Peer, ID: f.SA.ID(), Err: err})
			}
		case ikev2.SetEncap:
			if err := a.opt.Backend.SetEncap(f.ID, f.Encap); err != nil {
				s.inbox.put(ikev2.Command{Command: spd.Expired{Peer: f.Peer, ID: f.ID}})
			}
		case ikev2.Remove:
			if err := a.opt.Backend.Remove(f.ID); !errors.Is(err, spd.ErrNotFound) {
				a.failed("removing "+f.ID.String(), err)
			}
		case ikev2.Verify:
			go s.verify(f)
		case ikev2.AllocSPI:
			s.job(f.ID, func() (any, error) { return a.opt.Backend.AllocSPI(f.Larva) })
		case ikev2.Job:
			s.job(f.ID, f.Run)
		case ikev2.Notice:
			a.watch(f.Notice)
			a.notices.put(f.Notice)
		default:
			a.watch(f)
		}
	}
}

// verify looks whether an SA is in the kernel as it should be, and tells the engine if it is not.
func (s *shard) verify(v ikev2.Verify) {
	sas, err := s.agent.opt.Backend.SAs()
	if err != nil {
		s.agent.failed("listing the SAs", err)
		return
	}
	if !slices.ContainsFunc(sas, v.Holds) {
		s.inbox.put(ikev2.Command{Command: spd.Expired{Peer: v.Peer, ID: v.ID}})
	}
}

// job runs work on a worker and brings its result back. Handing it over never holds the shard up.
func (s *shard) job(id uint64, work func() (any, error)) {
	run := func() {
		v, err := work()
		s.inbox.put(ikev2.JobDone{ID: id, Value: v, Err: err})
	}
	select {
	case s.agent.jobs <- run:
	default:
		go run()
	}
}
