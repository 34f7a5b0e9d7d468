//go:build linux

package xfrm

import "mipsecd/spd"

// Message types of NETLINK_XFRM (XFRM_MSG_* in linux/xfrm.h).
const (
	msgNewSA       uint16 = 16
	msgDelSA       uint16 = 17
	msgGetSA       uint16 = 18
	msgNewPolicy   uint16 = 19
	msgDelPolicy   uint16 = 20
	msgGetPolicy   uint16 = 21
	msgAllocSPI    uint16 = 22
	msgAcquire     uint16 = 23
	msgExpire      uint16 = 24
	msgUpdPolicy   uint16 = 25
	msgUpdSA       uint16 = 26
	msgFlushSA     uint16 = 28
	msgFlushPolicy uint16 = 29
	msgMigrate     uint16 = 33
	msgMapping     uint16 = 38
)

// Attribute types (XFRMA_*).
const (
	attrAlgCrypt     uint16 = 2
	attrEncap        uint16 = 4
	attrTemplates    uint16 = 5
	attrSA           uint16 = 6
	attrPolicy       uint16 = 7
	attrCareOf       uint16 = 14
	attrPolicyType   uint16 = 16
	attrMigrate      uint16 = 17
	attrAlgAEAD      uint16 = 18
	attrKMAddress    uint16 = 19
	attrAlgAuthTrunc uint16 = 20
	attrReplayESN    uint16 = 23
	attrExtraFlags   uint16 = 24
)

// Multicast groups, as the bits of a socket address (1 << (XFRMNLGRP_* - 1)).
const (
	groupAcquire uint32 = 1 << 0
	groupExpire  uint32 = 1 << 1
	groupSA      uint32 = 1 << 2
	groupPolicy  uint32 = 1 << 3
	groupMigrate uint32 = 1 << 6
	groupMapping uint32 = 1 << 7
)

// modes are the spd modes by XFRM's number. 3 is an obsolete mode that spd has no word for.
var modes = [...]spd.Mode{0: spd.Transport, 1: spd.Tunnel, 2: spd.RouteOptimization, 4: spd.BEET}

// modeNumber is XFRM's number for a mode.
func modeNumber(m spd.Mode) (uint8, error) {
	for number, mode := range modes {
		if mode == m && m != 0 {
			return uint8(number), nil
		}
	}
	return 0, invalid("mode %s: transport, tunnel, ro or beet wanted", m)
}

// modeOf is the mode of XFRM's number, or zero ("any").
func modeOf(number uint8) spd.Mode {
	if int(number) < len(modes) {
		return modes[number]
	}
	return 0
}

// dirNumber is XFRM's number for a direction.
func dirNumber(d spd.Dir) (uint8, error) {
	if d < spd.In || d > spd.Fwd {
		return 0, invalid("direction %s: in, out or fwd wanted", d)
	}
	return uint8(d - spd.In), nil
}

// dirOf is the direction of XFRM's number. The numbers above are the directions of policies of one socket.
func dirOf(number uint8) (spd.Dir, error) {
	if number > uint8(spd.Fwd-spd.In) {
		return 0, errForeign
	}
	return spd.In + spd.Dir(number), nil
}
