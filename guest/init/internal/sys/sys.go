// Package sys holds the system calls that the standard library lacks, and thin helpers over those it has.
package sys

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// System calls newer than 5.1 have one number on all architectures.
const sysOpenat2 = 437

// ModuleInitCompressed asks the kernel to decompress a module (MODULE_INIT_COMPRESSED_FILE).
const ModuleInitCompressed = 4

// FinitModule loads the module in file; params are its parameters as on a command line.
func FinitModule(file *os.File, params string, flags int) error {
	text, err := syscall.BytePtrFromString(params)
	if err != nil {
		return err
	}
	_, _, errno := syscall.Syscall(sysFinitModule, file.Fd(), uintptr(unsafe.Pointer(text)), uintptr(flags))
	runtime.KeepAlive(file)
	if errno != 0 {
		return errno
	}
	return nil
}

func ioctl(file *os.File, request uintptr, argument unsafe.Pointer) (int, error) {
	value, _, errno := syscall.Syscall(syscall.SYS_IOCTL, file.Fd(), request, uintptr(argument))
	runtime.KeepAlive(file)
	if errno != 0 {
		return 0, errno
	}
	return int(value), nil
}

// openHow is struct open_how of openat2(2).
type openHow struct{ flags, mode, resolve uint64 }

const resolveInRoot = 0x10 // RESOLVE_IN_ROOT: symlinks and .. stay inside

// OpenInRoot opens path as a process whose root directory is root would; path is relative to it.
func OpenInRoot(root *os.File, path string, flags int, mode uint32) (*os.File, error) {
	text, err := syscall.BytePtrFromString(path)
	if err != nil {
		return nil, err
	}
	how := openHow{uint64(flags | syscall.O_CLOEXEC), uint64(mode), resolveInRoot}
	for {
		fd, _, errno := syscall.Syscall6(sysOpenat2, root.Fd(), uintptr(unsafe.Pointer(text)),
			uintptr(unsafe.Pointer(&how)), unsafe.Sizeof(how), 0, 0)
		runtime.KeepAlive(root)
		if errno == syscall.EINTR || errno == syscall.EAGAIN {
			continue
		}
		if errno != 0 {
			return nil, &os.PathError{Op: "open", Path: path, Err: errno}
		}
		return os.NewFile(fd, path), nil
	}
}

// OPath opens a place in the tree without reading it (O_PATH).
const OPath = 0x200000

// OpenPath opens a directory as a place to start from, without reading it.
func OpenPath(path string) (*os.File, error) {
	return os.OpenFile(path, OPath|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
}

// InNetworkOf runs what in the network namespace of process pid. The thread is given up if it cannot come back.
func InNetworkOf(pid int, what func() error) error {
	target, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return err
	}
	defer target.Close()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer own.Close()
	if sameFile(target, own) {
		return what()
	}
	result := make(chan error, 1)
	go func() {
		// a locked thread ends with its goroutine unless it is unlocked
		runtime.LockOSThread()
		if err := setns(target); err != nil {
			runtime.UnlockOSThread()
			result <- err
			return
		}
		err := what()
		if setns(own) == nil {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}

func sameFile(a, b *os.File) bool {
	first, err1 := a.Stat()
	second, err2 := b.Stat()
	return err1 == nil && err2 == nil && os.SameFile(first, second)
}

func setns(namespace *os.File) error {
	_, _, errno := syscall.Syscall(sysSetns, namespace.Fd(), syscall.CLONE_NEWNET, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// Uname returns the release of the running kernel.
func Uname() string {
	var name syscall.Utsname
	if err := syscall.Uname(&name); err != nil {
		return ""
	}
	text := make([]byte, 0, len(name.Release))
	for _, c := range name.Release {
		if c == 0 {
			break
		}
		text = append(text, byte(c))
	}
	return string(text)
}
