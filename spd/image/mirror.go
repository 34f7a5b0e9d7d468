package image

import "mipsecd/spd"

// mirrored is the selector of the answers to what out selects: addresses and ports change sides, a message type is
// replaced by that of its answer.
func mirrored(out spd.Selector) spd.Selector {
	in := spd.Selector{Src: out.Dst, Dst: out.Src, Proto: out.Proto, SrcPort: out.DstPort, DstPort: out.SrcPort}
	if out.Typed() {
		in.SrcPort, in.DstPort = out.SrcPort, out.DstPort
		if answer, ok := answers[message{out.Proto, out.SrcPort.Value}]; ok && out.SrcPort.Exact {
			in.SrcPort = spd.ExactPort(answer)
		}
	}
	return in
}

// message is a type of message of Mobility Header or ICMPv6.
type message struct {
	proto uint8
	kind  uint16
}

// answers pairs types of messages with those of their answers, both ways. A type that is not here answers itself.
var answers = bothWays(map[message]uint16{
	{spd.ProtoMH, 5}:       6,   // BU, BA (RFC 4877 section 7.2.1)
	{spd.ProtoMH, 1}:       3,   // HoTI, HoT (RFC 4877 section 7.2.2)
	{spd.ProtoMH, 2}:       4,   // CoTI, CoT
	{spd.ProtoICMPv6, 146}: 147, // Mobile Prefix Solicitation, Advertisement (RFC 4877 section 7.2.3)
	{spd.ProtoICMPv6, 144}: 145, // Home Agent Address Discovery Request, Reply
	{spd.ProtoICMPv6, 128}: 129, // Echo Request, Reply
})

func bothWays(one map[message]uint16) map[message]uint16 {
	two := make(map[message]uint16, 2*len(one))
	for m, answer := range one {
		two[m] = answer
		two[message{m.proto, answer}] = m.kind
	}
	return two
}

// purpose says in the configuration's words what a selector is for.
func purpose(s spd.Selector) string {
	kind := s.SrcPort.Value
	switch {
	case s.Proto == spd.ProtoMH && !s.SrcPort.Exact:
		return "mobility"
	case s.Proto == spd.ProtoMH && (kind == 5 || kind == 6):
		return "binding"
	case s.Proto == spd.ProtoMH && (kind == 1 || kind == 3):
		return "home-test"
	case s.Proto == spd.ProtoICMPv6 && s.SrcPort.Exact && (kind == 146 || kind == 147):
		return "prefix"
	case s.Proto == spd.ProtoAny:
		return "payload"
	}
	return "traffic"
}
