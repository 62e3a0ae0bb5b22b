package boot

import (
	"errors"
	"os"
	"syscall"

	"hullkit/guest/init/internal/sys"
)

const quiet = syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC

type mount struct {
	kind, target string
	flags        uintptr
	data         string
}

// early is what init itself cannot do without.
var early = []mount{
	{"proc", "/proc", quiet, ""},
	{"sysfs", "/sys", quiet, ""},
	{"devtmpfs", "/dev", syscall.MS_NOSUID, "mode=0755"},
	{"tmpfs", "/run", syscall.MS_NOSUID | syscall.MS_NODEV, "size=10%,mode=0755"},
}

// EarlyMounts mounts /proc, /sys, /dev and /run in the initramfs.
func EarlyMounts() error {
	syscall.Umask(0o022)
	for _, each := range early {
		if err := os.MkdirAll(each.target, 0o755); err != nil {
			return err
		}
		err := sys.Mount(each.kind, each.target, each.kind, each.flags, each.data)
		// a kernel built with DEVTMPFS_MOUNT may have done it
		if err != nil && !errors.Is(err, syscall.EBUSY) {
			return err
		}
	}
	links := map[string]string{
		"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0", "/dev/stdout": "/proc/self/fd/1",
		"/dev/stderr": "/proc/self/fd/2", "/dev/core": "/proc/kcore",
	}
	for link, target := range links {
		if err := os.Symlink(target, link); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

// OpenConsole opens the console that the kernel chose (the last console= it knows), and makes it init's own output.
func OpenConsole() *os.File {
	for _, path := range []string{"/dev/console", "/dev/kmsg"} {
		file, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY, 0)
		if err == nil {
			// a message of Go's runtime must not get lost either
			syscall.Dup3(int(file.Fd()), 2, 0)
			return file
		}
	}
	return os.Stderr
}
