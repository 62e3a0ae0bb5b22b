package agent

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"hullkit/guest/init/internal/report"
	"hullkit/guest/init/internal/sys"
)

// capabilities by their numbers (include/uapi/linux/capability.h).
var capabilities = strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP
	LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
	SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE
	AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF
	CHECKPOINT_RESTORE`)

// views of the kernel and of devices: nothing that is written there stays.
var kernelFileSystems = strings.Fields(`autofs binfmt_misc bpf cgroup cgroup2 configfs debugfs devpts efivarfs fusectl
	hugetlbfs mqueue proc pstore securityfs sysfs tracefs`)

// processes lists those of a cgroup and of all below it.
func processes(cgroup string) []string {
	var found []string
	filepath.WalkDir(cgroup, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			text, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
			found = append(found, strings.Fields(string(text))...)
		}
		return nil
	})
	return found
}

// readRights looks at the processes of a cgroup; nil if none is left.
func readRights(procfs, cgroup string) *report.Rights {
	var rights *report.Rights
	var mask uint64
	own, _ := os.Readlink(filepath.Join(procfs, "1/ns/net"))
	for _, process := range processes(cgroup) {
		directory := filepath.Join(procfs, process)
		text, err := os.ReadFile(filepath.Join(directory, "status"))
		if err != nil {
			continue // it has ended
		}
		status := parseStatus(string(text))
		if rights == nil {
			rights = &report.Rights{Filtered: true, NoNewPrivileges: true, OwnNetwork: true}
			rights.User = fmt.Sprintf("%s:%s", effective(status["Uid"]), effective(status["Gid"]))
			mounts, _ := os.ReadFile(filepath.Join(directory, "mountinfo"))
			rights.Writable = writable(sys.ParseMountInfo(string(mounts)))
		}
		for _, name := range []string{"CapPrm", "CapBnd"} {
			bits, _ := strconv.ParseUint(status[name], 16, 64)
			mask |= bits
		}
		network, _ := os.Readlink(filepath.Join(directory, "ns/net"))
		rights.Filtered = rights.Filtered && status["Seccomp"] == "2"
		rights.NoNewPrivileges = rights.NoNewPrivileges && status["NoNewPrivs"] == "1"
		rights.OwnNetwork = rights.OwnNetwork && network != own
	}
	if rights != nil {
		rights.Capabilities = capabilityNames(mask)
	}
	return rights
}

// parseStatus reads /proc/PID/status (proc_pid_status(5)).
func parseStatus(text string) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		found[name] = strings.TrimSpace(value)
	}
	return found
}

// effective takes the second of the ids of a process: real, effective, saved, of the file system.
func effective(ids string) string {
	if fields := strings.Fields(ids); len(fields) == 4 {
		return fields[1]
	}
	return "?"
}

func capabilityNames(mask uint64) []string {
	names := []string{}
	for number := range 64 {
		switch {
		case mask>>number&1 == 0:
		case number < len(capabilities):
			names = append(names, "CAP_"+capabilities[number])
		default:
			names = append(names, "CAP_"+strconv.Itoa(number))
		}
	}
	slices.Sort(names)
	return names
}

// writable are the mount points, seen by a process, that are not read-only; a later mount hides an earlier one.
func writable(mounts []sys.MountPoint) []string {
	last := map[string]sys.MountPoint{}
	for _, mount := range mounts {
		last[mount.Path] = mount
	}
	found := []string{}
	for path, mount := range last {
		if !mount.ReadOnly && !slices.Contains(kernelFileSystems, mount.Type) {
			found = append(found, path)
		}
	}
	slices.Sort(found)
	return found
}
