//go:build linux

package interop

import (
	"fmt"
	"strings"
	"testing"

	"mipsecd/integration/lab"
)

// connection is what charon is configured for with its one peer, in the terms of swanctl.conf. Its Child SAs have
// no lifetime.
type connection struct {
	local, remote  string // addresses
	ike, esp       string
	id, peerID     string
	auth, peerAuth string   // how each proves who it is, and lines about that
	lines          []string // about the connection itself
	children       []child
	secret         string
	secrets        []string // sections
	pools          string   // sections
	authorities    []string // sections
}

// child is a Child SA of a connection. One in transport mode for another's address leaves the policies to a mobility daemon,
// so that they tell the types of the Mobility Header apart as the kernel has them.
type child struct {
	name, mode string
	ts         [2]string // local and remote
	reqid      int       // 0 for any
}

const transportProxy = "transport_proxy"

const swanctlConf = `
connections {
	peer {
		version = 2
		local_addrs = %s
		remote_addrs = %s
		proposals = %s
		%s
		local {
			auth = %s
			id = "%s"
		}
		remote {
			auth = %s
			id = "%s"
		}
		children {
			%s
		}
	}
}
secrets {
	ike {
		id-1 = "%[6]s"
		id-2 = "%[8]s"
		secret = "%[10]s"
	}
	%[11]s
}
pools {
	%[12]s
}
authorities {
	%[13]s
}
`

const swanctlChild = `%s {
				mode = %s
				local_ts = %s
				remote_ts = %s
				esp_proposals = %s
				rekey_time = 0
				%s
			}
			`

// String is swanctl.conf.
func (n connection) String() string {
	var children strings.Builder
	for _, c := range n.children {
		var more string
		if c.reqid != 0 {
			more = fmt.Sprintf("reqid = %d\n", c.reqid)
		}
		if c.mode == transportProxy {
			more += "policies = no"
		}
		fmt.Fprintf(&children, swanctlChild, c.name, c.mode, c.ts[0], c.ts[1], n.esp, more)
	}
	return fmt.Sprintf(swanctlConf, n.local, n.remote, n.ike, strings.Join(n.lines, "\n\t\t"), n.auth, n.id, n.peerAuth, n.peerID,
		children.String(), n.secret, strings.Join(n.secrets, "\n\t"), n.pools,
		strings.Join(n.authorities, "\n\t"))
}

// load gives the daemon its one peer, in place of an earlier one.
func (c *charon) load(t *testing.T, n connection) {
	t.Helper()
	c.conn = n
	write(t, c.path("swanctl.conf"), n.String())
	c.must(t, "--load-all", "--clear", "--noprompt", "--file", c.path("swanctl.conf"))
}

// amend adds lines to what charon is configured for with its peer.
func (c *charon) amend(t *testing.T, lines ...string) {
	t.Helper()
	n := c.conn
	n.lines = append(n.lines, lines...)
	c.load(t, n)
}

// usual is a connection without children, where both prove who they are by the secret. The home agent takes mobile nodes
// from everywhere.
func (c *charon) usual(s suite) connection {
	n := connection{
		local: careOf.String(), remote: lab.HomeAgent.String(), ike: s.ike, esp: s.esp, id: identityMN, peerID: identityHA,
		auth: "psk", peerAuth: "psk", secret: secretText,
	}
	if c.node == lab.HA {
		n.local, n.remote, n.id, n.peerID = n.remote, "%any6", n.peerID, n.id
	}
	return n
}

// selectors are the local and the remote one.
func (c *charon) selectors(mobile, home string) [2]string {
	if c.node == lab.HA {
		return [2]string{home, mobile}
	}
	return [2]string{mobile, home}
}
