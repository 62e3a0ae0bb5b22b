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
	Supervisor Supervisor
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

// Supervisor is what runs the services. Memory is that of containerd, its shims and hull-service together.
type Supervisor struct {
	Name     string
	Version  string
	Restarts int
	Tasks    []Task
	Usage
}

// Task is a service as containerd tells of it.
type Task struct {
	ID    string
	PID   int
	State string
}

// Usage is the memory of a cgroup in bytes; null when there is none.
type Usage struct {
	Memory          *int64
	MemoryAnonymous *int64
	MemoryFile      *int64
	MemoryTmpfs     *int64
	MemoryKernel    *int64
}

// ReadUsage reads the memory of a cgroup.
func ReadUsage(directory string) Usage {
	memory := readCgroup(directory)
	if memory == nil {
		return Usage{}
	}
	return Usage{&memory.current, &memory.anonymous, &memory.file, &memory.tmpfs, &memory.kernel}
}

// Container at the time of the report; memory is that of its cgroup.
type Container struct {
	Name         string
	Kind         string
	State        string
	Exit         *int
	Signal       *int
	Restarts     int
	ReadySeconds *float64
	Usage
	Message string
	// Rights are nil where the builder knows them
	Rights *Rights
}

// Rights are what the processes of a service may do, as they run.
type Rights struct {
	// User and group of its first process, as "0:0"
	User string
	// Capabilities that one of them has or may get
	Capabilities []string
	// Filtered: a seccomp filter holds for each of them
	Filtered        bool
	NoNewPrivileges bool
	OwnNetwork      bool
	// Writable are the mount points that its first process could write
	Writable []string
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
	if status.Instance != nil {
		described.Usage = ReadUsage(status.Instance.Cgroup())
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
