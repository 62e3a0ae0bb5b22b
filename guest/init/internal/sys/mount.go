package sys

import (
	"os"
	"slices"
	"strings"
	"syscall"
)

// Mount is mount(2) with an error that tells what was mounted where.
func Mount(source, target, kind string, flags uintptr, data string) error {
	if err := syscall.Mount(source, target, kind, flags, data); err != nil {
		what := source
		if kind != "" && kind != source {
			what = kind + " " + source
		}
		return &os.PathError{Op: "mount " + strings.TrimSpace(what) + " on", Path: target, Err: err}
	}
	return nil
}

// MountFlags names the options of mount(8) that are flags; a value with clear set takes the flag away.
var mountFlags = map[string]struct {
	clear bool
	flag  uintptr
}{
	"async": {true, syscall.MS_SYNCHRONOUS}, "atime": {true, syscall.MS_NOATIME},
	"bind": {false, syscall.MS_BIND}, "defaults": {false, 0}, "dev": {true, syscall.MS_NODEV},
	"diratime": {true, syscall.MS_NODIRATIME}, "dirsync": {false, syscall.MS_DIRSYNC},
	"exec": {true, syscall.MS_NOEXEC}, "mand": {false, syscall.MS_MANDLOCK},
	"noatime": {false, syscall.MS_NOATIME}, "nodev": {false, syscall.MS_NODEV},
	"nodiratime": {false, syscall.MS_NODIRATIME}, "noexec": {false, syscall.MS_NOEXEC},
	"nomand": {true, syscall.MS_MANDLOCK}, "norelatime": {true, syscall.MS_RELATIME},
	"nostrictatime": {true, syscall.MS_STRICTATIME}, "nosuid": {false, syscall.MS_NOSUID},
	"rbind": {false, syscall.MS_BIND | syscall.MS_REC}, "relatime": {false, syscall.MS_RELATIME},
	"remount": {false, syscall.MS_REMOUNT}, "ro": {false, syscall.MS_RDONLY}, "rw": {true, syscall.MS_RDONLY},
	"strictatime": {false, syscall.MS_STRICTATIME}, "suid": {true, syscall.MS_NOSUID},
	"sync": {false, syscall.MS_SYNCHRONOUS},
}

var propagationFlags = map[string]uintptr{
	"private": syscall.MS_PRIVATE, "shared": syscall.MS_SHARED,
	"slave": syscall.MS_SLAVE, "unbindable": syscall.MS_UNBINDABLE,
	"rprivate": syscall.MS_PRIVATE | syscall.MS_REC, "rshared": syscall.MS_SHARED | syscall.MS_REC,
	"rslave": syscall.MS_SLAVE | syscall.MS_REC, "runbindable": syscall.MS_UNBINDABLE | syscall.MS_REC,
}

// ParseMountOptions splits the options of fstab(5) into mount flags, propagation flags and the file system's own data.
func ParseMountOptions(options []string) (flags, propagation uintptr, data string) {
	var own []string
	for _, option := range options {
		if known, ok := mountFlags[option]; ok {
			if known.clear {
				flags &^= known.flag
			} else {
				flags |= known.flag
			}
		} else if known, ok := propagationFlags[option]; ok {
			propagation |= known
		} else if option != "" {
			own = append(own, option)
		}
	}
	return flags, propagation, strings.Join(own, ",")
}

// MountWithOptions mounts as mount(8) does: the flags of a bind mount need a second call, the propagation a third.
func MountWithOptions(source, target, kind string, options []string) error {
	flags, propagation, data := ParseMountOptions(options)
	if kind == "bind" {
		kind = ""
		flags |= syscall.MS_BIND
	}
	if err := Mount(source, target, kind, flags, data); err != nil {
		return err
	}
	const own = syscall.MS_BIND | syscall.MS_REC | syscall.MS_REMOUNT
	if flags&syscall.MS_BIND != 0 && flags&^uintptr(own) != 0 {
		again := flags&^uintptr(syscall.MS_REC) | syscall.MS_REMOUNT
		if err := Mount("", target, "", again, ""); err != nil {
			return err
		}
	}
	if propagation != 0 {
		return Mount("", target, "", propagation, "")
	}
	return nil
}

// MountPoint is one line of /proc/PID/mountinfo; ReadOnly: the mount or its file system.
type MountPoint struct {
	Path, Type string
	ReadOnly   bool
}

// ParseMountInfo reads mountinfo (proc_pid_mountinfo(5)); later mounts come later.
func ParseMountInfo(text string) []MountPoint {
	var found []MountPoint
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		kind := strings.Fields(after)
		if ok && len(fields) >= 6 && len(kind) >= 1 {
			options := strings.Split(fields[5]+","+kind[len(kind)-1], ",")
			found = append(found, MountPoint{unescape(fields[4]), kind[0], slices.Contains(options, "ro")})
		}
	}
	return found
}

// unescape resolves \040 and the like.
func unescape(path string) string {
	if !strings.Contains(path, `\`) {
		return path
	}
	var plain strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '\\' && i+3 < len(path) {
			if code, ok := octal(path[i+1 : i+4]); ok {
				plain.WriteByte(code)
				i += 3
				continue
			}
		}
		plain.WriteByte(path[i])
	}
	return plain.String()
}

func octal(digits string) (byte, bool) {
	value := 0
	for _, c := range digits {
		if c < '0' || c > '7' {
			return 0, false
		}
		value = value*8 + int(c-'0')
	}
	return byte(value), value < 256
}
