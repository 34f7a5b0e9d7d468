package pfkey

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// receiveBuffer is what may wait for the reader: thousands of messages.
	receiveBuffer = 8 << 20
	// largestMessage is more than any that Linux sends. An ACQUIRE with its proposals has some 4 KiB.
	largestMessage = 64 << 10
)

// Open opens the PF_KEY of the calling thread's network namespace; a goroutine that has changed its thread's must stay
// locked to it meanwhile. The process needs CAP_NET_ADMIN.
func Open() (*Backend, error) { return open(&linux, newSocket) }

// socket is a PF_KEY socket that the runtime's poller waits for, so that close ends a receive.
type socket struct {
	file   *os.File
	raw    syscall.RawConn
	closed atomic.Bool
	buf    []byte
}

func newSocket() (conn, error) {
	fd, err := unix.Socket(unix.AF_KEY, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, pfKeyV2)
	if err != nil {
		return nil, fmt.Errorf("PF_KEY socket: %w", err)
	}
	s := &socket{file: os.NewFile(uintptr(fd), "PF_KEY"), buf: make([]byte, largestMessage)}
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)
	if err == nil {
		s.raw, err = s.file.SyscallConn()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("PF_KEY socket: %w", err), s.file.Close())
	}
	return s, nil
}

func (s *socket) send(b []byte) error {
	_, err := s.file.Write(b)
	return s.orClosed(err)
}

func (s *socket) receive(deadline time.Time) ([]byte, error) {
	if err := s.file.SetReadDeadline(deadline); err != nil {
		return nil, s.orClosed(err)
	}
	n, err := s.file.Read(s.buf)
	return s.buf[:n], s.orClosed(err)
}

func (s *socket) drain(see func([]byte)) error {
	if err := s.file.SetReadDeadline(time.Time{}); err != nil {
		return s.orClosed(err)
	}
	var failed error
	err := s.raw.Read(func(fd uintptr) bool {
		for failed == nil || failed == unix.EINTR {
			var n int
			if n, failed = unix.Read(int(fd), s.buf); failed == nil {
				see(s.buf[:n])
			}
		}
		return true
	})
	if failed != unix.EAGAIN {
		err = errors.Join(err, failed)
	}
	return s.orClosed(err)
}

// crowded compares the memory of the messages that wait with the limit. The kernel drops a message if what waits
// already is above the limit, so none was dropped if what waits now, and the message that was read last, are below.
func (s *socket) crowded() (bool, error) {
	var info [unix.SK_MEMINFO_VARS]uint32
	length := uint32(unsafe.Sizeof(info))
	var errno syscall.Errno
	err := s.raw.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&length)), 0)
	})
	if err == nil && errno != 0 {
		err = fmt.Errorf("SO_MEMINFO: %w", errno)
	}
	return info[unix.SK_MEMINFO_RMEM_ALLOC]+largestMessage > info[unix.SK_MEMINFO_RCVBUF], err
}

func (s *socket) close() error {
	s.closed.Store(true)
	return s.file.Close()
}

// orClosed is os.ErrClosed in place of any error once the socket is closed: not all methods of an os.File say so.
func (s *socket) orClosed(err error) error {
	if err != nil && s.closed.Load() {
		return os.ErrClosed
	}
	return err
}
