package wire

import (
	"fmt"
	"strings"
)

// Describe is one line for people, in the notation of the RFCs:
//
//	IKE_AUTH request 1 [ IDi AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]
//
// The payloads are those of the message or, once it is decrypted, those that were in its SK.
func Describe(h Header, ps []Payload) string {
	direction := "request"
	if h.Response {
		direction = "response"
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%v %s %d [ ", h.Exchange, direction, h.MessageID)
	for _, p := range ps {
		out.WriteString(describe(h, p) + " ")
	}
	out.WriteString("]")
	return out.String()
}

func describe(h Header, p Payload) string {
	switch p := p.(type) {
	case *Nonce:
		if h.Response {
			return "Nr"
		}
		return "Ni"
	case *Notify:
		return fmt.Sprintf("N(%v)", p.Kind)
	case *CP:
		return fmt.Sprintf("CP(%v)", p.Kind)
	case *SKF:
		return fmt.Sprintf("SKF(%d/%d)", p.Number, p.Total)
	}
	return p.Type().String()
}
