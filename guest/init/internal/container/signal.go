package container

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// wouldIgnore tells whether a signal would have no effect on a process: the first process of a process namespace gets
// none that it does not handle (pid_namespaces(7)), and waiting for it to end would be in vain.
func wouldIgnore(pid, signal int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && statusIgnores(string(status), signal)
}

// statusIgnores reads /proc/PID/status (proc_pid_status(5)). A blocked signal may be one that the program waits for.
func statusIgnores(status string, signal int) bool {
	first := false
	bit := uint64(1) << (signal - 1)
	for line := range strings.Lines(status) {
		name, rest, _ := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		switch name {
		case "NSpid":
			first = len(fields) > 1 && fields[len(fields)-1] == "1"
		case "SigBlk", "SigCgt":
			if len(fields) != 1 {
				return false
			}
			mask, err := strconv.ParseUint(fields[0], 16, 64)
			if err != nil || mask&bit != 0 {
				return false
			}
		}
	}
	return first
}
