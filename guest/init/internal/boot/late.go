package boot

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"hullkit/guest/init/internal/hull"
	"hullkit/guest/init/internal/sys"
)

// late is mounted in the root; the sizes are LinuxKit's.
var late = []mount{
	{"tmpfs", "/tmp", syscall.MS_NOSUID | syscall.MS_NODEV, "size=10%,mode=1777"},
	{"tmpfs", "/var", syscall.MS_NOSUID | syscall.MS_NODEV, "size=50%,mode=0755"},
	{"devpts", "/dev/pts", syscall.MS_NOSUID | syscall.MS_NOEXEC, "gid=5,mode=0620,ptmxmode=0666"},
	{"tmpfs", "/dev/shm", quiet, "mode=1777"},
	{"mqueue", "/dev/mqueue", quiet, ""},
	{"cgroup2", "/sys/fs/cgroup", quiet, "nsdelegate"},
}

// optional is mounted where the kernel offers the directory. debugfs is left out: it shows too much.
var optional = []mount{
	{"securityfs", "/sys/kernel/security", quiet, ""},
	{"configfs", "/sys/kernel/config", quiet, ""},
	{"fusectl", "/sys/fs/fuse/connections", quiet, ""},
	{"selinuxfs", "/sys/fs/selinux", syscall.MS_NOSUID | syscall.MS_NOEXEC, ""},
	{"pstore", "/sys/fs/pstore", quiet, ""},
	{"bpf", "/sys/fs/bpf", quiet, "mode=0700"},
	{"efivarfs", "/sys/firmware/efi/efivars", quiet, ""},
	{"binfmt_misc", "/proc/sys/fs/binfmt_misc", quiet, ""},
}

// directories that programs expect in the tmpfs; path to mode.
var directories = []struct {
	path string
	mode os.FileMode
}{
	{"/run/lock", 0o755}, {"/run/log", 0o755}, {"/run/resolvconf", 0o755},
	{"/var/cache", 0o755}, {"/var/empty", 0o755}, {"/var/lib", 0o755}, {"/var/local", 0o755}, {"/var/log", 0o755},
	{"/var/opt", 0o755}, {"/var/spool", 0o755}, {"/var/tmp", 0o777 | os.ModeSticky},
}

// LateMounts mounts the rest, makes the directories that programs expect, and shares all mounts as LinuxKit does.
func LateMounts() error {
	var failed []error
	for _, each := range late {
		// some of these directories are in the file systems mounted just before
		os.Mkdir(each.target, 0o755)
		failed = append(failed, sys.Mount(each.kind, each.target, each.kind, each.flags, each.data))
	}
	for _, each := range optional {
		if info, err := os.Stat(each.target); err == nil && info.IsDir() {
			sys.Mount(each.kind, each.target, each.kind, each.flags, each.data)
		}
	}
	for _, each := range directories {
		os.Mkdir(each.path, each.mode)
		os.Chmod(each.path, each.mode)
	}
	// /etc/resolv.conf leads there, and containers bind it before a DHCP client has written it
	if file, err := os.OpenFile("/run/resolvconf/resolv.conf", os.O_CREATE, 0o644); err == nil {
		file.Close()
	}
	os.Symlink("/run", "/var/run")
	os.Symlink("/run/lock", "/var/lock")
	failed = append(failed, enableControllers(), sys.Mount("", "/", "", syscall.MS_SHARED|syscall.MS_REC, ""))
	return errors.Join(failed...)
}

const cgroupRoot = "/sys/fs/cgroup"

// enableControllers makes every controller available to the groups below the root.
func enableControllers() error {
	names, err := os.ReadFile(filepath.Join(cgroupRoot, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(names)) {
		// one by one: a controller may be refused (cpu, while real-time processes exist) without harm to the others
		os.WriteFile(filepath.Join(cgroupRoot, "cgroup.subtree_control"), []byte("+"+name), 0)
	}
	return nil
}

// linux/include/uapi/asm-generic/resource.h; the same on every architecture that hullkit serves
const (
	rlimitNproc = 6
	maxFiles    = 1 << 20
	unlimited   = ^uint64(0)
)

// Settings sets host name, limits and the loopback interface, and spares memory.
func Settings(system *hull.System, options Options) error {
	limits := errors.Join(
		os.NewSyscallError("setrlimit", syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: maxFiles, Max: maxFiles})),
		os.NewSyscallError("setrlimit", syscall.Setrlimit(rlimitNproc, &syscall.Rlimit{Cur: unlimited, Max: unlimited})),
	)
	return errors.Join(limits, setHostname(system), sys.LinkUp("lo"), spareMemory(options))
}

const (
	hugePages = "/sys/kernel/mm/transparent_hugepage/enabled"
	// smallMemory, in bytes, is below what huge pages are worth their price
	smallMemory = 2 << 30
)

// spareMemory turns transparent huge pages off where memory is small: for their sake the kernel keeps up to 70 MB free
// (mm/khugepaged.c, set_recommended_min_free_kbytes). It does so itself below 512 MiB. The command line has the last word.
func spareMemory(options Options) error {
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err != nil {
		return os.NewSyscallError("sysinfo", err)
	}
	total := uint64(info.Totalram) * uint64(info.Unit)
	if total > smallMemory || strings.Contains(options.CommandLine, "transparent_hugepage=") {
		return nil
	}
	err := os.WriteFile(hugePages, []byte("never"), 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func setHostname(system *hull.System) error {
	name := system.Hostname
	if name == "" {
		data, _ := os.ReadFile("/etc/hostname")
		name = strings.TrimSpace(string(data))
	}
	if name == "" {
		name = system.Name
	}
	if name == "" {
		return nil
	}
	return os.NewSyscallError("sethostname", syscall.Sethostname([]byte(name)))
}
