package sys

import (
	"os"
	"syscall"
	"time"
)

// DialLocal connects to a TCP port of this thread's loopback interface, by IPv4 and then by IPv6. The file's deadlines
// work. (Package net would do this too, for 600 kB.)
func DialLocal(port int, deadline time.Time) (*os.File, error) {
	file, err := dial(syscall.AF_INET, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}, deadline)
	if err == nil {
		return file, nil
	}
	if six, err := dial(syscall.AF_INET6, &syscall.SockaddrInet6{Port: port, Addr: [16]byte{15: 1}}, deadline); err == nil {
		return six, nil
	}
	return nil, err
}

func dial(family int, to syscall.Sockaddr, deadline time.Time) (*os.File, error) {
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	err = syscall.Connect(fd, to)
	if err != nil && err != syscall.EINPROGRESS {
		syscall.Close(fd)
		return nil, os.NewSyscallError("connect", err)
	}
	file := os.NewFile(uintptr(fd), "tcp")
	if err := finishConnect(file, deadline); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func finishConnect(file *os.File, deadline time.Time) error {
	if err := file.SetDeadline(deadline); err != nil {
		return err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	err = raw.Write(func(fd uintptr) bool {
		code, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
		switch {
		case err != nil:
			failure = err
		case code != 0:
			failure = os.NewSyscallError("connect", syscall.Errno(code))
		default:
			_, err := syscall.Getpeername(int(fd))
			return err == nil
		}
		return true
	})
	if err != nil {
		return err
	}
	return failure
}
