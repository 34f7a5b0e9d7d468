package wire

// VendorID is the Vendor ID payload (RFC 7296 section 3.12).
type VendorID struct{ Data []byte }

// Type is PayloadV.
func (*VendorID) Type() PayloadType { return PayloadV }

func (p *VendorID) decode(body []byte) error {
	p.Data = body
	return nil
}

func (p *VendorID) appendBody(b []byte) []byte { return append(b, p.Data...) }

// EAP is the Extensible Authentication payload (RFC 7296 section 3.16). Data is one EAP message.
type EAP struct{ Data []byte }

// Type is PayloadEAP.
func (*EAP) Type() PayloadType { return PayloadEAP }

func (p *EAP) decode(body []byte) error {
	p.Data = body
	return nil
}

func (p *EAP) appendBody(b []byte) []byte { return append(b, p.Data...) }

// Unknown is a payload of a type that this package does not know, to be ignored (RFC 7296 section 2.5). One that was
// read is never Critical.
type Unknown struct {
	Kind     PayloadType
	Critical bool
	Data     []byte
}

// Type is Kind.
func (p *Unknown) Type() PayloadType { return p.Kind }

func (p *Unknown) decode(body []byte) error {
	p.Data = body
	return nil
}

func (p *Unknown) appendBody(b []byte) []byte { return append(b, p.Data...) }
