package configs

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mipsecd/internal/secret"
	"mipsecd/migrate"
	"mipsecd/spd"
	"mipsecd/spd/manual"
)

// byHandText is a mobile node with manual keys for its binding: with a line more at the top, line 3, one more in the table
// of its home agent, line 10, and the lines of the keys from 12 on.
func byHandText(top, peer string, keys ...string) string {
	return fmt.Sprintf(`role = "mobile-node"
identity = "mn1@example.org"
%s
protect = ["binding"]
[home-agent]
identity = "ha.example.org"
address = "2001:db8:1::1"
home-address = "2001:db8:1::100"
keying = "manual"
%s
[home-agent.manual-keys.binding]
%s
`, top, peer, strings.Join(keys, "\n"))
}

// keyOf is a key for aes256-sha512 of one octet, in hexadecimal.
func keyOf(octet byte) string { return strings.Repeat(fmt.Sprintf("%02x", octet), 96) }

// goodKeys are the lines from 12 to 15, for a mobility daemon's policies.
var goodKeys = []string{
	`esp = "aes256-sha512"`, `spi = [0x1001, 0x1002]`, `key = ["0x` + keyOf(1) + `", "0x` + keyOf(2) + `"]`, `reqid = [1, 2]`,
}

// instead is goodKeys with another line for the same key.
func instead(line string) []string {
	name, _, _ := strings.Cut(line, " ")
	lines := slices.Clone(goodKeys)
	lines[slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, name+" ") })] = line
	return lines
}

func manualSA(spi, reqid uint32, octet byte) manual.SA {
	key := secret.Bytes(strings.Repeat(string(rune(octet)), 96))
	return manual.SA{SPI: spi, Reqid: reqid, Transform: spd.Transform{
		Encr: spd.EncrAESCBC, EncrKey: key[:32], Integ: spd.IntegSHA512_256, IntegKey: key[32:],
	}}
}

func TestManualKeys(t *testing.T) {
	c := parse(t, byHandText("k-bit = true", "k-bit = false", goodKeys...))
	pair := manual.Pair{
		Peer: "ha.example.org", Suite: "aes256-sha512", Out: manualSA(0x1001, 1, 1), In: manualSA(0x1002, 2, 2),
	}
	if !reflect.DeepEqual(c.Manual, []manual.Pair{pair}) || len(c.Peers) != 0 {
		t.Errorf("got %+v, peers %v", c.Manual, c.Peers)
	}
	h := c.Homes[0]
	if !h.Manual || h.KeyMobility || h.Peer != pair.Peer || h.ReqidsFor(migrate.ProtectBinding) != (migrate.Reqids{ToHA: 1, ToMN: 2}) {
		t.Errorf("got %+v", h)
	}

	// mipsecd's own policies have its own reqids, and on the home agent the directions are the other way.
	text := strings.NewReplacer(`"mobile-node"`, "\"home-agent\"\naddress = \"2001:db8:1::1\"", "[home-agent]", "[[mobile-node]]",
		"home-agent.", "mobile-node.", "address = \"2001:db8:1::1\"\nhome", "home").Replace(
		byHandText(`policies = "mipsecd"`, "", goodKeys[:3]...))
	c = parse(t, text)
	pair.In, pair.Out = manualSA(0x1001, 1000, 1), manualSA(0x1002, 1001, 2)
	if !reflect.DeepEqual(c.Manual, []manual.Pair{pair}) {
		t.Errorf("got %+v", c.Manual)
	}
}

func TestManualKeyErrors(t *testing.T) {
	const prefix = "x.toml:%d: home-agent.%s: "
	second := func(spi, reqid string, octet byte) string {
		return fmt.Sprintf("[home-agent.manual-keys.home-test]\nesp = \"null-sha1\"\nspi = %s\nreqid = %s\nkey = [\"0x%s\", \"0x%s\"]",
			spi, reqid, strings.Repeat(fmt.Sprintf("%02x", octet), 20), strings.Repeat(fmt.Sprintf("%02x", octet+1), 20))
	}
	both := func(table string) string {
		return strings.Replace(byHandText("", "", append(slices.Clone(goodKeys), table)...), `["binding"]`, `["binding", "home-test"]`, 1)
	}
	for _, test := range []struct {
		name, text string
		line       int
		key, want  string
	}{
		{"an SPI that is reserved", byHandText("", "", instead("spi = [0x1001, 255]")...), 13, "manual-keys.binding.spi",
			"got 255; want an SPI from 256 to 4294967295 (RFC 4303 section 2.1)"},
		{"one SPI", byHandText("", "", instead("spi = [0x1001]")...), 13, "manual-keys.binding.spi",
			"got a list; want a list of two: each an SPI from 256 to 4294967295 (RFC 4303 section 2.1)"},
		{"a cipher that counts", byHandText("", "", instead(`esp = "aes128ctr-sha512"`)...), 12, "manual-keys.binding.esp",
			`got "aes128ctr-sha512", whose counter would begin anew with the same key after a restart, which RFC 8221 section 3 ` +
				"forbids; want aes128, aes192 or aes256, and an integrity algorithm such as sha512"},
		{"a combined cipher", byHandText("", "", instead(`esp = "aes256gcm16"`)...), 12, "manual-keys.binding.esp",
			`got "aes256gcm16", whose counter would begin anew with the same key after a restart, which RFC 8221 section 3 ` +
				"forbids; want aes128, aes192 or aes256, and an integrity algorithm such as sha512"},
		{"no integrity", byHandText("", "", instead(`esp = "aes256"`)...), 12, "manual-keys.binding.esp",
			`ESP proposal "aes256": no integrity algorithm, which aes256 needs: add one such as sha256`},
		{"a choice", byHandText("", "", instead(`esp = "aes256-aes128-sha512"`)...), 12, "manual-keys.binding.esp",
			`got "aes256-aes128-sha512", of which nobody chooses; want one cipher and one integrity algorithm`},
		{"a group", byHandText("", "", instead(`esp = "aes256-sha512-x25519"`)...), 12, "manual-keys.binding.esp",
			`got "aes256-sha512-x25519", part of which takes a key exchange; want a cipher and an integrity algorithm only`},
		{"ESN", byHandText("", "", instead(`esp = "aes256-sha512-esn"`)...), 12, "manual-keys.binding.esp",
			`got "aes256-sha512-esn", part of which takes a key exchange; want a cipher and an integrity algorithm only`},
		{"a key that is too short", byHandText("", "", instead(`key = ["0x0102", "0x`+keyOf(2)+`"]`)...), 14, "manual-keys.binding.key",
			"got a key of 2 octets; want 96 for aes256-sha512: 32 for the cipher, and then 64 for the integrity"},
		{"a key twice", byHandText("", "", instead(`key = ["0x`+keyOf(1)+`", "0x`+keyOf(1)+`"]`)...), 14, "manual-keys.binding.key",
			"got a key, which line 14 has already; want each only once"},
		{"a key that is no hexadecimal", byHandText("", "", instead(`key = ["`+keyOf(1)+`", "0x`+keyOf(2)+`"]`)...), 14,
			"manual-keys.binding.key", "got something else; want a key in hexadecimal, after 0x"},
		{"half an octet", byHandText("", "", instead(`key = ["0x010", "0x`+keyOf(2)+`"]`)...), 14, "manual-keys.binding.key",
			"it begins with 0x, but two hexadecimal digits for each octet do not follow"},
		{"one key", byHandText("", "", instead(`key = "0x`+keyOf(1)+`"`)...), 14, "manual-keys.binding.key",
			"got one text; want a list of two: each a key in hexadecimal, after 0x"},
		{"no key", byHandText("", "", slices.Delete(slices.Clone(goodKeys), 2, 3)...), 11, "manual-keys.binding.key-file",
			"want either it or key"},
		{"key and key-file", byHandText("", "", append(slices.Clone(goodKeys), `key-file = ["a", "b"]`)...), 11,
			"manual-keys.binding.key-file", "want either it or key"},
		{"no reqids", byHandText("", "", goodKeys[:3]...), 11, "manual-keys.binding.reqid",
			"is missing; want the reqids of the mobility daemon's policies, such as [1, 2]"},
		{"reqids of mipsecd's", byHandText(`policies = "mipsecd"`, "", goodKeys...), 15, "manual-keys.binding.reqid",
			"mipsecd's own policies have reqids of their own; leave it out"},
		{"a reqid twice", byHandText("", "", instead("reqid = [2, 2]")...), 15, "manual-keys.binding.reqid",
			"got 2, which line 15 has already; want each only once"},
		{"a reqid beyond PF_KEY's", byHandText(`kernel = "pfkey"`, "", instead("reqid = [1, 16384]")...), 15, "manual-keys.binding.reqid",
			"got 16384; want at most 16383, as PF_KEY ties no other policy to its SAs"},

		{"an SPI twice to this host", both(strings.Replace(second("[0x2001, 0x1002]", "[5, 6]", 5), "null", "aes128", 1)), 18,
			"manual-keys.home-test.spi", "got SPI 0x1002, which line 13 has already; want each only once"},
		{"the home test without a cipher", both(second("[0x2001, 0x2002]", "[5, 6]", 5)), 17, "manual-keys.home-test.esp",
			`got "null-sha1"; want a cipher, too, for the home test (RFC 4877 section 4.3)`},
		{"unprotected", byHandText("", "", append(slices.Clone(goodKeys), second("[0x2001, 0x2002]", "[5, 6]", 5))...), 16,
			"manual-keys.home-test", "got keys for what protect does not have; want it there, or no keys"},
		{"without keys", strings.Replace(byHandText("", "", goodKeys...), `["binding"]`, `["binding", "payload"]`, 1), 11,
			"manual-keys.payload", "is missing; want a table with its keys, as protect has it"},
		{"another kind of traffic", byHandText("", "", append(slices.Clone(goodKeys), "[home-agent.manual-keys.bindings]")...), 16,
			"manual-keys.bindings", "there is no such key; the nearest is binding"},

		{"a pre-shared key", byHandText("", `secret-file = "a"`, goodKeys...), 10, "secret-file",
			`this is for a key exchange; leave it out with keying = "manual"`},
		{"proposals", byHandText("", `esp = ["aes256-sha512"]`, goodKeys...), 10, "esp",
			`this is for a key exchange; leave it out with keying = "manual"`},
		{"the K bit", byHandText("", "k-bit = true", goodKeys...), 10, "k-bit", "got true; want false with manual keys (RFC 6275 section 6.1.7)"},
		{"a road warrior", strings.Replace(byHandText("", `mobility = "none"`, goodKeys...), "protect = [\"binding\"]", "", 1), 10, "mobility",
			`got a road warrior; want "mobile-ipv6" with keying = "manual"`},
		{"several home addresses",
			strings.Replace(byHandText("", "", goodKeys...), `"2001:db8:1::100"`, `["2001:db8:1::100", "2001:db8:1::101"]`, 1), 8, "home-address",
			"got several, or one that is assigned; want one address with manual keys, which are its own (RFC 6275 section 15.3)"},
		{"an assigned home address", strings.Replace(byHandText("", "", goodKeys...), "2001:db8:1::100", "assigned", 1), 8, "home-address",
			"got several, or one that is assigned; want one address with manual keys, which are its own (RFC 6275 section 15.3)"},
		{"a key exchange", strings.Replace(byHandText("", "", goodKeys...), `keying = "manual"`, `secret-file = "a"`, 1), 11, "manual-keys",
			`got keys where there is a key exchange; want keying = "manual" with them`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse("x.toml", []byte(test.text), anySecret)
			want := fmt.Sprintf(prefix, test.line, test.key) + test.want
			if err == nil || strings.Count(err.Error()+"\n", want+"\n") != 1 {
				t.Fatalf("got\n%v\nwant\n%s", err, want)
			}
			if strings.Contains(err.Error(), keyOf(1)[:16]) {
				t.Error("the error shows a key")
			}
		})
	}
}

// On a home agent, where one address is the destination for all mobile nodes, an SPI toward it is for one only.
func TestManualSPIsOfAHomeAgent(t *testing.T) {
	node := func(name, address, spi string, octet byte) string {
		return fmt.Sprintf("[[mobile-node]]\nidentity = %q\nhome-address = %q\n[mobile-node.manual-keys.binding]\nesp = \"aes256-sha512\"\n"+
			"spi = %s\nkey = [\"0x%s\", \"0x%s\"]\n", name, address, spi, keyOf(octet), keyOf(octet+1))
	}
	text := func(spi string) string {
		return "role = \"home-agent\"\nidentity = \"ha\"\naddress = \"2001:db8:1::1\"\npolicies = \"mipsecd\"\nkeying = \"manual\"\n" +
			"protect = [\"binding\"]\n" + node("mn1", "2001:db8:1::100", "[256, 257]", 1) + node("mn2", "2001:db8:1::101", spi, 3)
	}
	if c := parse(t, text("[258, 257]")); len(c.Manual) != 2 || c.Manual[1].Out.SPI != 257 {
		t.Errorf("got %v", c.Manual)
	}
	const want = "x.toml:19: mobile-node.manual-keys.binding.spi: got SPI 0x100, which line 12 has already; want each only once"
	if _, err := Parse("x.toml", []byte(text("[256, 258]")), anySecret); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// Keys are in files that nobody else may read, whether in files of their own or in the configuration.
func TestManualKeyFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.toml")
	write(t, filepath.Join(dir, "up"), "0x"+keyOf(1)+"\n", 0o600)
	write(t, filepath.Join(dir, "down"), strings.Repeat("\x02", 96), 0o600)
	inFiles := byHandText("", "", goodKeys[0], goodKeys[1], `key-file = ["up", "down"]`, goodKeys[3])
	inline := byHandText("", "", goodKeys...)
	write(t, path, inline, 0o600)
	want, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, inFiles, 0o644)
	if c, err := Load(path); err != nil || !reflect.DeepEqual(c.Manual, want.Manual) {
		t.Errorf("got %v, %v", c, err)
	}
	write(t, filepath.Join(dir, "down"), strings.Repeat("\x02", 96), 0o640)
	refused(t, path, ":14: home-agent.manual-keys.binding.key-file: "+dir+"/down is open to group or others (mode 0640); run chmod 600 on it")
	write(t, path, inline, 0o644)
	refused(t, path, ":14: home-agent.manual-keys.binding.key: "+path+" is open to group or others (mode 0644); run chmod 600 on it")
}

func refused(t *testing.T, path, want string) {
	t.Helper()
	if _, err := Load(path); err == nil || err.Error() != path+want {
		t.Errorf("got %v, want %s", err, path+want)
	}
}
