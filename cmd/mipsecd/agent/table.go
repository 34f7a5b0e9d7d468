package agent

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"mipsecd/spd"
)

// Table is the status for people, at most 80 columns wide for usual addresses.
func (s Status) Table() string {
	var out strings.Builder
	fmt.Fprintf(&out, "Bindings\n")
	w := tabwriter.NewWriter(&out, 0, 8, 2, ' ', 0)
	for _, b := range s.Bindings {
		where, since := "?", ""
		if b.CareOf != nil {
			where, since = b.CareOf.String(), b.Since.Format(time.TimeOnly)
			if *b.CareOf == b.HomeAddress {
				where = "at home"
			}
		}
		kind := ""
		if b.Assigned {
			kind = "assigned"
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\n", b.HomeAddress, where, since, b.Peer, kind)
	}
	w.Flush()
	for _, b := range s.Bindings {
		if len(b.DNS) > 0 {
			fmt.Fprintf(&out, "Name servers of %s: %s\n", b.Peer, strings.Trim(fmt.Sprint(b.DNS), "[]"))
		}
	}
	for _, sa := range s.IKESAs {
		suite := sa.Suite
		if sa.PPK {
			suite += " with a PPK"
		}
		fmt.Fprintf(&out, "IKE_SA with %s, %s, %s %s\n", sa.Peer, sa.State, suite, role(sa.Initiator))
		fmt.Fprintf(&out, "  %s - %s  SPIs %s %s\n", sa.Local.Addr(), sa.Remote.Addr(), sa.SPIi, sa.SPIr)
		childTable(&out, sa.Children)
	}
	for i := 0; i < len(s.Manual); {
		peer, children := s.Manual[i].Peer, []ChildSA(nil)
		for ; i < len(s.Manual) && s.Manual[i].Peer == peer; i++ {
			children = append(children, s.Manual[i].ChildSA)
		}
		fmt.Fprintf(&out, "Manual SAs with %s\n", peer)
		childTable(&out, children)
	}
	if s.Trace != "" {
		fmt.Fprintf(&out, "Trace to %s\n", s.Trace)
	}
	return out.String()
}

func childTable(out io.Writer, children []ChildSA) {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, c := range children {
		encap := ""
		if c.Encap != noEncap {
			encap = c.Encap
		}
		fmt.Fprintf(w, "  %s\t%s\t%s - %s\tin %s\tout %s\t%s\n", c.Protects, c.Mode, c.Local, c.Remote, c.SPIIn, c.SPIOut, encap)
	}
	w.Flush()
}

// noEncap is what Status says where ESP is not in UDP.
var noEncap = spd.Encap{}.String()

func role(initiator bool) string {
	if initiator {
		return "(initiator)"
	}
	return "(responder)"
}
