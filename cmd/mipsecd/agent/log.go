package agent

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"mipsecd/ikev2"
	"mipsecd/migrate"
	"mipsecd/spd"
)

// Log writes what happens to a log, one event a line.
func Log(l *slog.Logger) func(time.Time, any) {
	return func(_ time.Time, what any) {
		level, text, attrs := describe(what)
		if text != "" {
			l.LogAttrs(context.Background(), level, text, attrs...)
		}
	}
}

// describe puts an event into words; without any it is not worth a line.
func describe(what any) (slog.Level, string, []slog.Attr) {
	switch x := what.(type) {
	case spd.PeerUp:
		return slog.LevelInfo, "IKE_SA up", []slog.Attr{peer(x.Peer), path(x.Path), slog.Bool("initiator", x.Initiator)}
	case spd.PeerDown:
		return slog.LevelInfo, "IKE_SA down", []slog.Attr{peer(x.Peer), slog.String("reason", x.Reason)}
	case spd.PeerMoved:
		return slog.LevelInfo, "IKE_SA moved", []slog.Attr{
			peer(x.Peer), path(x.New), slog.String("old_path", x.Old.String()), slog.String("encapsulation", x.Encap.String()),
		}
	case spd.PeerAlive:
		return slog.LevelDebug, "peer alive", []slog.Attr{peer(x.Peer)}
	case spd.ChildUp:
		return slog.LevelInfo, "Child SA up", child(x.Demand, x.In, x.Out)
	case spd.ChildMoved:
		return slog.LevelInfo, "Child SA moved", child(x.Demand, x.In, x.Out)
	case spd.MovedTogether:
		return slog.LevelDebug, "SAs moved together", []slog.Attr{
			peer(x.Moved.Peer), slog.Any("reqid", x.Moved.Change.Reqid), slog.Int("sas", x.SAs),
		}
	case spd.ChildDown:
		return slog.LevelInfo, "Child SA down", append(child(x.Demand, x.In, x.Out), slog.String("reason", x.Reason))
	case spd.KeyFailed:
		return slog.LevelWarn, "no Child SA", []slog.Attr{
			peer(x.Demand.Peer), slog.String("protects", x.Demand.Name), slog.String("reason", x.Err.Error()),
		}
	case spd.Redirected:
		return slog.LevelInfo, "redirected", []slog.Attr{peer(x.Peer), path(x.Path)}
	case spd.ConnectFailed:
		return slog.LevelWarn, "no IKE_SA", []slog.Attr{peer(x.Peer), slog.String("reason", x.Err.Error())}
	case spd.Request:
		return slog.LevelDebug, "Child SA requested", []slog.Attr{
			peer(x.Peer), slog.Any("local_ts", texts(x.Traffic.Local)), slog.Any("remote_ts", texts(x.Traffic.Remote)),
		}
	case spd.AddressRequest:
		return slog.LevelDebug, "address requested", []slog.Attr{peer(x.Peer), slog.Any("addresses", wishes(x.Addresses))}
	case spd.Assigned:
		if x.Err != nil {
			return slog.LevelWarn, "no address assigned", []slog.Attr{peer(x.Peer), slog.String("reason", x.Err.Error())}
		}
		return slog.LevelInfo, "assigned by the peer", []slog.Attr{
			peer(x.Peer), slog.Any("addresses", x.Addresses), slog.Any("home_prefix", x.HomePrefix), slog.Any("dns", x.DNS),
		}
	case ByHand:
		level, text, attrs := describe(x.Notice)
		return level, text, append(attrs, slog.String("keying", "manual"))
	case migrate.Report:
		return slog.LevelInfo, x.What, []slog.Attr{
			peer(x.Peer), slog.Any("home_address", x.HomeAddress), slog.String("detail", x.Detail),
		}
	case migrate.Reread:
		return slog.LevelWarn, "the kernel is read anew", nil
	case ikev2.Dropped:
		return slog.LevelInfo, "refused", []slog.Attr{slog.Any("from", x.Remote), slog.String("reason", x.Err.Error())}
	case ikev2.Traced:
		return slog.LevelDebug, "message", []slog.Attr{
			slog.String("what", x.Summary), slog.Bool("outbound", x.Outbound), slog.Any("local", x.Local), slog.Any("remote", x.Remote),
		}
	case Failure:
		return slog.LevelError, x.What, []slog.Attr{slog.String("error", x.Err.Error())}
	}
	return 0, "", nil
}

// wishes are the addresses that are asked for.
func wishes(list []netip.Addr) (out []string) {
	for _, a := range list {
		if a.IsValid() {
			out = append(out, a.String())
		} else {
			out = append(out, "any")
		}
	}
	return out
}

func peer(name string) slog.Attr { return slog.String("peer", name) }
func path(p spd.Path) slog.Attr  { return slog.String("path", p.String()) }
func child(d spd.Demand, in, out spd.SAID) []slog.Attr {
	return []slog.Attr{
		peer(d.Peer), slog.String("protects", d.Name), slog.String("mode", d.Mode.String()),
		slog.String("in", in.String()), slog.String("out", out.String()),
	}
}
