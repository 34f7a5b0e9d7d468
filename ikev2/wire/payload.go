package wire

import "strconv"

// Payload is one payload of a message; each kind is a struct of its own in this package.
type Payload interface {
	Type() PayloadType
	// decode reads what follows the generic payload header, appendBody writes it.
	decode(body []byte) error
	appendBody(b []byte) []byte
}

// PayloadType is the number by which the preceding payload announces one.
type PayloadType uint8

// The payloads of RFC 7296 section 3.2 and RFC 7383. PayloadNone ends a chain.
const (
	PayloadNone    PayloadType = 0
	PayloadSA      PayloadType = 33
	PayloadKE      PayloadType = 34
	PayloadIDi     PayloadType = 35
	PayloadIDr     PayloadType = 36
	PayloadCERT    PayloadType = 37
	PayloadCERTREQ PayloadType = 38
	PayloadAUTH    PayloadType = 39
	PayloadNonce   PayloadType = 40
	PayloadN       PayloadType = 41
	PayloadD       PayloadType = 42
	PayloadV       PayloadType = 43
	PayloadTSi     PayloadType = 44
	PayloadTSr     PayloadType = 45
	PayloadSK      PayloadType = 46
	PayloadCP      PayloadType = 47
	PayloadEAP     PayloadType = 48
	PayloadSKF     PayloadType = 53
)

// kinds describes every payload that this package reads. Those that no exchange has twice in a message are refused when
// they come twice, so that no two readers of a message can disagree about which one counts.
var kinds = [...]struct {
	name    string
	section string
	once    bool
	new     func() Payload
}{
	PayloadSA:      {"SA", "RFC 7296 section 3.3", true, func() Payload { return new(SA) }},
	PayloadKE:      {"KE", "RFC 7296 section 3.4", true, func() Payload { return new(KE) }},
	PayloadIDi:     {"IDi", "RFC 7296 section 3.5", true, func() Payload { return &ID{Initiator: true} }},
	PayloadIDr:     {"IDr", "RFC 7296 section 3.5", true, func() Payload { return new(ID) }},
	PayloadCERT:    {"CERT", "RFC 7296 section 3.6", false, func() Payload { return new(Cert) }},
	PayloadCERTREQ: {"CERTREQ", "RFC 7296 section 3.7", false, func() Payload { return new(CertReq) }},
	PayloadAUTH:    {"AUTH", "RFC 7296 section 3.8", true, func() Payload { return new(Auth) }},
	PayloadNonce:   {"Nonce", "RFC 7296 section 3.9", true, func() Payload { return new(Nonce) }},
	PayloadN:       {"N", "RFC 7296 section 3.10", false, func() Payload { return new(Notify) }},
	PayloadD:       {"D", "RFC 7296 section 3.11", false, func() Payload { return new(Delete) }},
	PayloadV:       {"V", "RFC 7296 section 3.12", false, func() Payload { return new(VendorID) }},
	PayloadTSi:     {"TSi", "RFC 7296 section 3.13", true, func() Payload { return &TS{Initiator: true} }},
	PayloadTSr:     {"TSr", "RFC 7296 section 3.13", true, func() Payload { return new(TS) }},
	PayloadSK:      {"SK", "RFC 7296 section 3.14", true, func() Payload { return new(SK) }},
	PayloadCP:      {"CP", "RFC 7296 section 3.15", true, func() Payload { return new(CP) }},
	PayloadEAP:     {"EAP", "RFC 7296 section 3.16", true, func() Payload { return new(EAP) }},
	PayloadSKF:     {"SKF", "RFC 7383 section 2.5", true, func() Payload { return new(SKF) }},
}

func (t PayloadType) known() bool { return int(t) < len(kinds) && kinds[t].new != nil }

// String is the payload's notation in its RFC ("Nonce" for Ni and Nr), or its number.
func (t PayloadType) String() string {
	if t.known() {
		return kinds[t].name
	}
	return strconv.Itoa(int(t))
}
