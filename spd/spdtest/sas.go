package spdtest

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"mipsecd/spd"
)

func (s suite) testSAs(t *testing.T) {
	larval := spd.LarvalSA{Endpoints: atHome.Reverse(), Proto: spd.ESP, Mode: spd.Transport}
	larvalID := func(spi uint32) spd.SAID { return spd.SAID{Dst: hoa, Proto: spd.ESP, SPI: spi} }

	s.run(t, "AllocSPI reserves distinct SPIs", func(t *testing.T, b spd.Backend) {
		reserved := map[uint32]bool{}
		for range 16 {
			spi, err := b.AllocSPI(larval)
			succeed(t, err)
			defer b.Remove(larvalID(spi))
			if spi < 256 || reserved[spi] {
				t.Fatalf("SPI %#x after %v", spi, reserved)
			}
			reserved[spi] = true
		}
	})
	s.run(t, "AllocSPI from several goroutines", func(t *testing.T, b spd.Backend) {
		var all sync.WaitGroup
		spis := make([]uint32, 8)
		for i := range spis {
			all.Go(func() {
				var err error
				if spis[i], err = b.AllocSPI(larval); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for _, spi := range spis {
			succeed(t, b.Remove(larvalID(spi)))
		}
	})
	s.run(t, "larval SAs are not listed", func(t *testing.T, b spd.Backend) {
		spi, err := b.AllocSPI(larval)
		succeed(t, err)
		defer b.Remove(larvalID(spi))
		if all := list(t, b.SAs); len(all) != 0 {
			t.Fatalf("listed: %v", all)
		}
	})
	s.run(t, "Install completes the larval SA", func(t *testing.T, b spd.Backend) {
		spi, err := b.AllocSPI(larval)
		succeed(t, err)
		sa := newSA(spi, spd.Transport, atHome.Reverse(), 2, spd.In)
		succeed(t, b.Install(sa))
		wantSAs(t, b, sa)
		wantError(t, b.Install(sa), spd.ErrExists)
	})
	s.run(t, "Remove gives up the larval SA", func(t *testing.T, b spd.Backend) {
		spi, err := b.AllocSPI(larval)
		succeed(t, err)
		succeed(t, b.Remove(larvalID(spi)))
		wantError(t, b.Remove(larvalID(spi)), spd.ErrNotFound)
		succeed(t, b.Install(newSA(spi, spd.Transport, atHome.Reverse(), 2, spd.In)))
	})
	s.run(t, "Install without a larval SA", func(t *testing.T, b spd.Backend) {
		sa := newSA(0x1001, spd.Transport, atHome, 1, spd.Out)
		succeed(t, b.Install(sa))
		wantSAs(t, b, sa)
	})
	s.run(t, "Install refuses a duplicate and leaves the first", func(t *testing.T, b spd.Backend) {
		sa := newSA(0x1001, spd.Transport, atHome, 1, spd.Out)
		succeed(t, b.Install(sa))
		other := sa
		other.Reqid = 9
		wantError(t, b.Install(other), spd.ErrExists)
		wantSAs(t, b, sa)
	})
	s.run(t, "one SPI at two destinations", func(t *testing.T, b spd.Backend) {
		out, in := newSA(0x1001, spd.Transport, atHome, 1, spd.Out), newSA(0x1001, spd.Transport, atHome.Reverse(), 2, spd.In)
		succeed(t, b.Install(out))
		succeed(t, b.Install(in))
		wantSAs(t, b, out, in)
		succeed(t, b.Remove(out.ID()))
		wantSAs(t, b, in)
	})
	s.run(t, "Remove deletes once", func(t *testing.T, b spd.Backend) {
		sa := newSA(0x1001, spd.Transport, atHome, 1, spd.Out)
		wantError(t, b.Remove(sa.ID()), spd.ErrNotFound)
		succeed(t, b.Install(sa))
		succeed(t, b.Remove(sa.ID()))
		wantSAs(t, b)
		wantError(t, b.Remove(sa.ID()), spd.ErrNotFound)
		succeed(t, b.Install(sa))
	})
	s.run(t, "mode, reqid and endpoints are kept", func(t *testing.T, b spd.Backend) {
		sas := []spd.SA{
			newSA(0x1001, spd.Transport, atHome, 1, spd.Out), newSA(0x1002, spd.Transport, atHome.Reverse(), 2, spd.In),
			newSA(0x1003, spd.Tunnel, away1, 3, spd.Out), newSA(0x1004, spd.Tunnel, away1.Reverse(), 4, spd.In),
		}
		for _, sa := range sas {
			succeed(t, b.Install(sa))
		}
		wantSAs(t, b, sas...)
	})
	s.run(t, "SAs are listed without keys", func(t *testing.T, b spd.Backend) {
		succeed(t, b.Install(newSA(0x1001, spd.Transport, atHome, 1, spd.Out)))
		for _, sa := range list(t, b.SAs) {
			if len(sa.Transform.EncrKey) > 0 || len(sa.Transform.IntegKey) > 0 {
				t.Fatal("a key is listed")
			}
		}
	})
	s.run(t, "UDP encapsulation of both families", func(t *testing.T, b spd.Backend) {
		sas := encapsulated()
		for _, sa := range sas {
			succeed(t, b.Install(sa))
		}
		wantSAs(t, b, sas...)
	})
	s.run(t, "SetEncap changes the ports of one SA", func(t *testing.T, b spd.Backend) {
		sas := encapsulated()
		for _, sa := range sas {
			succeed(t, b.Install(sa))
		}
		for i := range sas {
			sas[i].Encap.Dst += 7
			succeed(t, b.SetEncap(sas[i].ID(), sas[i].Encap))
			wantSAs(t, b, sas...)
		}
	})
	s.run(t, "SetEncap neither adds nor takes away", func(t *testing.T, b spd.Backend) {
		plain, in := newSA(0x1001, spd.Tunnel, away1, 1, spd.Out), encapsulated()[0]
		wantError(t, b.SetEncap(plain.ID(), in.Encap), spd.ErrNotFound)
		succeed(t, b.Install(plain))
		succeed(t, b.Install(in))
		wantError(t, b.SetEncap(plain.ID(), in.Encap), spd.ErrInvalid)
		wantError(t, b.SetEncap(in.ID(), spd.Encap{}), spd.ErrInvalid)
		wantSAs(t, b, plain, in)
	})
	s.run(t, "AH is not encapsulated", func(t *testing.T, b spd.Backend) {
		sa := encapsulated()[0]
		sa.Proto, sa.Transform.Encr, sa.Transform.EncrKey = spd.AH, 0, nil
		wantError(t, b.Install(sa), spd.ErrInvalid)
	})
	if !s.caps.NoAEAD {
		s.run(t, "AEAD", func(t *testing.T, b spd.Backend) {
			sa := newSA(0x1001, spd.Tunnel, away1, 1, spd.Out)
			sa.Transform = spd.Transform{Encr: spd.EncrAESGCM16, EncrKey: key(3, 20)}
			succeed(t, b.Install(sa))
			wantSAs(t, b, sa)
		})
	}
}

// encapsulated are two pairs, one with IPv4 outside.
func encapsulated() []spd.SA {
	out6, in6 := newSA(0x1001, spd.Tunnel, away1, 1, spd.Out), newSA(0x1002, spd.Tunnel, away1.Reverse(), 2, spd.In)
	outside := spd.Endpoints{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("198.51.100.1")}
	out4, in4 := newSA(0x1003, spd.Tunnel, outside, 3, spd.Out), newSA(0x1004, spd.Tunnel, outside.Reverse(), 4, spd.In)
	sas := []spd.SA{in6, out6, in4, out4}
	for i := range sas {
		sas[i].Encap = spd.Encap{Src: 4500, Dst: 20000}
		if sas[i].Dir == spd.In {
			sas[i].Encap = sas[i].Encap.Reverse()
		}
	}
	return sas
}

// wantSAs checks the listed SAs by what all kernels tell of them, in any order.
func wantSAs(t *testing.T, b spd.Backend, want ...spd.SA) {
	t.Helper()
	got := identities(list(t, b.SAs))
	for id, wanted := range identities(want) {
		if got[id] != wanted {
			t.Errorf("SA %s: got %+v, want %+v", id, got[id], wanted)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d SAs listed, want %d: %v", len(got), len(want), got)
	}
}

type identity struct {
	mode      spd.Mode
	endpoints spd.Endpoints
	reqid     uint32
	encap     spd.Encap
}

func identities(sas []spd.SA) map[spd.SAID]identity {
	ids := map[spd.SAID]identity{}
	for _, sa := range sas {
		ids[sa.ID()] = identity{sa.Mode, sa.Endpoints, sa.Reqid, sa.Encap}
	}
	return ids
}

func wantError(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("got error %v, want %v", got, want)
	}
}

// samePolicy compares all but the index, which the kernel gives.
func samePolicy(a, b spd.Policy) bool {
	return a.PolicyKey == b.PolicyKey && a.Priority == b.Priority && a.Action == b.Action &&
		slices.Equal(a.Templates, b.Templates)
}
