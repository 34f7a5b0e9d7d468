package ikev2

import (
	"testing"
	"time"

	"mipsecd/spd"
)

// bare is an engine whose effects are carried out at once, without the checks of a host.
type bare struct {
	*host
	spi  uint32
	last spd.SAID // the newest inbound SA
}

func (x *bare) step(in Input) (sent []Datagram) {
	for inputs := []Input{in}; len(inputs) > 0; inputs = inputs[1:] {
		for _, f := range x.engine.Step(x.w.now, inputs[0]) {
			switch f := f.(type) {
			case Send:
				sent = append(sent, Datagram{Local: f.Remote, Remote: f.Local, Data: f.Data})
			case AllocSPI:
				x.spi++
				inputs = append(inputs, JobDone{ID: f.ID, Value: x.spi})
			case Job:
				v, err := f.Run()
				inputs = append(inputs, JobDone{ID: f.ID, Value: v, Err: err})
			case Notice:
				if r, ok := f.Notice.(spd.Request); ok {
					inputs = append(inputs, Command{x.grant(r)})
				}
				if up, ok := f.Notice.(spd.ChildUp); ok {
					x.last = up.In
				}
			}
		}
	}
	return sent
}

// pair is a mobile node and its home agent without tracing.
func pair(b *testing.B, o options) (mn, ha *bare) {
	o.change = func(_, _ *host, a, b *Config) { a.Trace, b.Trace = false, false }
	_, m, h := newWorld(b, o)
	return &bare{host: m, spi: 0x1000}, &bare{host: h, spi: 0x2000}
}

// talk begins at the mobile node, and goes to and fro until nobody has anything to say. Only what the home agent does is
// measured.
func talk(b *testing.B, mn, ha *bare, c spd.Command) {
	to := []Datagram{}
	for sent := mn.step(Command{c}); len(sent) > 0; {
		to = to[:0]
		b.StartTimer()
		for _, d := range sent {
			to = append(to, ha.step(d)...)
		}
		b.StopTimer()
		sent = nil
		for _, d := range to {
			sent = append(sent, mn.step(d)...)
		}
	}
}

// BenchmarkResponder is what the exchanges that set up an IKE_SA cost a home agent, its jobs included.
func BenchmarkResponder(b *testing.B) {
	for _, ike := range []string{"aes128gcm16-prfsha256-x25519", "aes128-sha1-modp1536", hybridIKE} {
		b.Run(ike, func(b *testing.B) {
			b.ReportAllocs()
			b.StopTimer()
			for range b.N {
				mn, ha := pair(b, options{ike: ike})
				talk(b, mn, ha, spd.Key{Demand: binding, Path: path1})
				if ha.last.SPI == 0 {
					b.Fatal("no Child SA")
				}
			}
		})
	}
}

// BenchmarkRekeyChild is what the exchanges of a rekeying cost the side that answers.
func BenchmarkRekeyChild(b *testing.B) {
	for _, esp := range []string{"aes128gcm16", hybridESP} {
		b.Run(esp, func(b *testing.B) {
			b.ReportAllocs()
			b.StopTimer()
			mn, ha := pair(b, options{esp: esp})
			talk(b, mn, ha, spd.Key{Demand: binding, Path: path1})
			b.ResetTimer()
			for range b.N {
				talk(b, mn, ha, spd.Expired{Peer: "ha", ID: mn.last})
			}
		})
	}
}

// BenchmarkRelocate is a home agent's movement of one mobile node's IKE_SA, with the K bit.
func BenchmarkRelocate(b *testing.B) {
	mn, ha := pair(b, options{})
	b.StopTimer()
	talk(b, mn, ha, spd.Key{Demand: binding, Path: path1})
	b.StartTimer()
	b.ResetTimer()
	b.ReportAllocs()
	paths := []spd.Path{reversed(path2), reversed(path1)}
	for i := range b.N {
		ha.engine.Step(ha.w.now, Command{spd.Relocate{Peer: "mn", Path: paths[i%2], Keep: true}})
	}
}

// BenchmarkHalfOpen is what a stranger's IKE_SA_INIT request costs a home agent under attack: it is answered with a cookie.
func BenchmarkHalfOpen(b *testing.B) {
	mn, ha := pair(b, options{})
	b.StopTimer()
	ha.engine.cfg.Limits.Cookies = -1
	request := mn.step(Command{spd.Key{Demand: binding, Path: path1}})[0]
	b.StartTimer()
	b.ReportAllocs()
	for range b.N {
		ha.engine.Step(time.Unix(0, 0), request)
	}
}
