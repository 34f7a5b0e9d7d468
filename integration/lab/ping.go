//go:build linux

package lab

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Ping is a ping process on one of the hosts.
type Ping struct {
	cmd *exec.Cmd

	mu       sync.Mutex
	changed  *sync.Cond
	answered map[int]bool
	last     int // the highest sequence number that has been answered
	sent     int // at least so many have been sent
	ended    bool
}

// StartPing starts to ping an address from a host so often, until the test ends.
func StartPing(t testing.TB, from Node, to netip.Addr, every time.Duration) *Ping {
	t.Helper()
	p := &Ping{cmd: exec.Command("ping", "-n", "-O", "-i", fmt.Sprint(every.Seconds()), to.String()), answered: map[int]bool{}}
	p.changed = sync.NewCond(&p.mu)
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := from.Do(p.cmd.Start); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		p.read(bufio.NewScanner(out))
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-read
		p.cmd.Wait()
	})
	return p
}

var (
	replyLine  = regexp.MustCompile(`^\d+ bytes from .* icmp_seq=(\d+) `)
	silentLine = regexp.MustCompile(`^no answer yet for icmp_seq=(\d+)$`)
)

func (p *Ping) read(lines *bufio.Scanner) {
	for lines.Scan() {
		p.mu.Lock()
		if m := replyLine.FindStringSubmatch(lines.Text()); m != nil {
			seq, _ := strconv.Atoi(m[1])
			p.answered[seq] = true
			p.last, p.sent = max(p.last, seq), max(p.sent, seq)
		} else if m := silentLine.FindStringSubmatch(lines.Text()); m != nil {
			seq, _ := strconv.Atoi(m[1])
			p.sent = max(p.sent, seq)
		}
		p.changed.Broadcast()
		p.mu.Unlock()
	}
	p.mu.Lock()
	p.ended = true
	p.changed.Broadcast()
	p.mu.Unlock()
}

// Sent is the sequence number of the latest echo request that ping has told of.
func (p *Ping) Sent() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent
}

// Next waits until an echo request later than those of Sent is answered, and returns its sequence number.
func (p *Ping) Next(ctx context.Context) (int, error) {
	stop := context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.changed.Broadcast()
	})
	defer stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for before := p.sent; p.last <= before; p.changed.Wait() {
		if p.ended || ctx.Err() != nil {
			return 0, fmt.Errorf("no echo request after number %d was answered", before)
		}
	}
	return p.last, nil
}

// Lost lists the sequence numbers that went unanswered, up to the latest that was answered.
func (p *Ping) Lost() (lost []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for seq := 1; seq < p.last; seq++ {
		if !p.answered[seq] {
			lost = append(lost, seq)
		}
	}
	return lost
}
