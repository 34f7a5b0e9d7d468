package mobilenode

import (
	"mipsecd/migrate"
	"mipsecd/mobility"
)

// acknowledged follows what the home agent answers to the mobility daemon's Binding Updates.
func (n *Node) acknowledged(a migrate.Acknowledged) {
	p := n.homes.Of(a.HomeAddress)
	if p == nil || p.HomeAgent != a.HomeAgent {
		return
	}
	switch status := mobility.BindingStatus(a.Status); {
	case status == mobility.StatusDADFailed:
		n.renounce(p)
	case status.Accepted():
		n.emit(n.homes.Confirmed(p, a.KeyMobility)...)
	}
}
