//go:build linux

package xfrm

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// socket is a netlink socket to XFRM in the network namespace of the thread that opened it. Closing it ends a receive.
type socket struct {
	file *os.File
	conn syscall.RawConn
}

// openSocket opens a socket that is told what the multicast groups report; none for a socket of requests.
func openSocket(groups uint32) (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_XFRM)
	if err != nil {
		return nil, fmt.Errorf("opening a NETLINK_XFRM socket: %w", err)
	}
	file := os.NewFile(uintptr(fd), "xfrm") // non-blocking, so it is waited for without a thread
	if err := errors.Join(
		// The kernel's words with an error, and no echo of requests, which hold keys.
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1),
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1),
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}),
	); err != nil {
		return nil, errors.Join(fmt.Errorf("setting up a NETLINK_XFRM socket: %w", err), file.Close())
	}
	conn, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &socket{file: file, conn: conn}, nil
}

// enlarge lets more octets wait unread, beyond the system's limit if this process may.
func (s *socket) enlarge(octets int) error {
	var err error
	control := s.conn.Control(func(fd uintptr) {
		if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, octets); err != nil {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, octets)
		}
	})
	return errors.Join(control, err)
}

// send gives a datagram to the kernel. The error is os.ErrClosed after close.
func (s *socket) send(datagram []byte) error {
	var err error
	if unusable := s.conn.Write(func(fd uintptr) bool {
		err = unix.Sendto(int(fd), datagram, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	}); unusable != nil {
		return fmt.Errorf("%w: %w", os.ErrClosed, unusable)
	}
	return err
}

// receive puts a datagram from the kernel into buf, and waits for one if so told. The error is EAGAIN when there is
// none, ENOBUFS when datagrams were lost, EMSGSIZE when this one was longer than buf, and os.ErrClosed after close.
func (s *socket) receive(buf []byte, wait bool) ([]byte, error) {
	for {
		var n, flags int
		var from unix.Sockaddr
		var err error
		if unusable := s.conn.Read(func(fd uintptr) bool {
			n, _, flags, from, err = unix.Recvmsg(int(fd), buf, nil, 0)
			return !errors.Is(err, unix.EINTR) && !(wait && errors.Is(err, unix.EAGAIN))
		}); unusable != nil {
			return nil, fmt.Errorf("%w: %w", os.ErrClosed, unusable)
		}
		if err != nil {
			return nil, err
		}
		if flags&unix.MSG_TRUNC != 0 {
			return nil, unix.EMSGSIZE
		}
		if peer, ok := from.(*unix.SockaddrNetlink); ok && peer.Pid == 0 { // the kernel, not some process
			return buf[:n], nil
		}
	}
}

func (s *socket) close() error { return s.file.Close() }
