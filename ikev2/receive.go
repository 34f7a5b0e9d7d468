package ikev2

import (
	"errors"
	"fmt"

	"mipsecd/ikev2/wire"
)

// receive finds out what a datagram is: the start of a new IKE_SA, or a message of one that is here.
func (e *Engine) receive(d Datagram) {
	h, err := wire.ParseHeader(d.Data)
	if err != nil {
		e.drop(d, err)
		return
	}
	if h.Version>>4 > wire.Version20>>4 { // RFC 7296 section 2.5
		if !h.Response {
			e.refuseUnprotected(d, h, &wire.Notify{Kind: wire.NotifyInvalidMajorVersion})
		}
		e.drop(d, fmt.Errorf("version %d of IKE", h.Version>>4))
		return
	}
	if begins := h.Initiator && !h.Response && h.SPIr == 0; begins && e.ending {
		e.drop(d, errEnding)
		return
	} else if begins && h.Exchange == wire.ExchangeIKESAInit {
		e.initRequest(d, h)
		return
	} else if begins && h.Exchange == wire.ExchangeSessionResume {
		e.resumeRequest(d, h)
		return
	}
	sa := e.sas[ownSPI(h)]
	if sa == nil || sa.initiator == h.Initiator {
		e.unknownIKE(d, h)
		return
	}
	if h.Exchange == wire.ExchangeIKESAInit {
		e.initResponse(sa, d, h)
		return
	}
	if h.Exchange == wire.ExchangeSessionResume {
		e.resumeResponse(sa, d, h)
		return
	}
	if spii, spir := sa.spis(); h.SPIi != spii || h.SPIr != spir {
		e.drop(d, errors.New("the peer's SPI is not that of the IKE_SA"))
		return
	}
	m, err := wire.Parse(d.Data)
	if err != nil {
		e.drop(d, err)
		return
	}
	if h.Response && !protected(m) {
		e.crashReported(sa, d, m)
	} else if h.Response {
		e.answer(sa, d, m)
	} else {
		e.question(sa, d, m)
	}
}
