package report

import (
	"time"

	"hullkit/guest/init/internal/supervise"
	"hullkit/guest/init/internal/sys"
)

// Version of the report.
const Version = 1

// Report is the answer to check.
type Report struct {
	Version    int
	Name       string
	Kernel     string
	Init       string
	Runtime    string
	Up         bool
	Stages     []Stage
	Containers []Container
	Memory     Memory
	Addresses  []string
	Ports      []Port
	Checks     []Check
}

// Stage of the boot; Seconds is when it began, since the kernel started.
type Stage struct {
	Name    string
	Seconds float64
}

// Container at the time of the report; memory is that of its cgroup in bytes, null when it has none.
type Container struct {
	Name            string
	Kind            string
	State           string
	Exit            *int
	Signal          *int
	Restarts        int
	ReadySeconds    *float64
	Memory          *int64
	MemoryAnonymous *int64
	MemoryFile      *int64
	MemoryTmpfs     *int64
	MemoryKernel    *int64
	Message         string
}

// Check is the result of one check; Culprit is who is to blame when it is not OK.
type Check struct {
	Name    string
	Culprit string
	OK      bool
	Message string
}

// Describe makes the report's entry of a container; seconds turns a time into seconds since the kernel started.
func Describe(status supervise.Status, seconds func(time.Time) float64) Container {
	described := Container{
		Name:     status.Container.Name,
		Kind:     status.Container.Kind,
		State:    string(status.State),
		Restarts: status.Restarts,
		Message:  status.Message,
	}
	described.Exit, described.Signal = status.ExitFields()
	if !status.ReadyAt.IsZero() {
		at := seconds(status.ReadyAt)
		described.ReadySeconds = &at
	}
	if status.Instance == nil {
		return described
	}
	if memory := readCgroup(status.Instance.Cgroup()); memory != nil {
		described.Memory = &memory.current
		described.MemoryAnonymous = &memory.anonymous
		described.MemoryFile = &memory.file
		described.MemoryTmpfs = &memory.tmpfs
		described.MemoryKernel = &memory.kernel
	}
	return described
}

// Addresses lists the addresses of all interfaces but loopback, and but those of IPv6 that hold on one link only.
func Addresses() []string {
	found := []string{}
	all, _ := sys.Addresses()
	for _, address := range all {
		if !address.Loopback && address.Global {
			found = append(found, address.String())
		}
	}
	return found
}
