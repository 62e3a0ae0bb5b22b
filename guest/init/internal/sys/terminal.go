package sys

import (
	"os"
	"syscall"
	"time"
	"unsafe"
)

// OpenTerminal opens a serial line for bytes as they are: no echo, no line editing, no signals.
func OpenTerminal(path string) (*os.File, error) {
	fd, err := syscall.Open(path, syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	settings := syscall.Termios{Cflag: syscall.CS8 | syscall.CREAD | syscall.CLOCAL | syscall.B115200}
	settings.Cc[syscall.VMIN] = 1
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.TCSETS, uintptr(unsafe.Pointer(&settings))); errno != 0 {
		syscall.Close(fd)
		return nil, &os.PathError{Op: "set up", Path: path, Err: errno}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// DrainTerminal waits until a serial line has sent what was written, at most as long as timeout. For anything else that
// is at once.
func DrainTerminal(file *os.File, timeout time.Duration) {
	connection, err := file.SyscallConn()
	if err != nil {
		return
	}
	for started := time.Now(); time.Since(started) < timeout; time.Sleep(5 * time.Millisecond) {
		var waiting int32
		var errno syscall.Errno
		err := connection.Control(func(fd uintptr) {
			_, _, errno = syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&waiting)))
		})
		if err != nil || errno != 0 || waiting == 0 {
			return
		}
	}
}
