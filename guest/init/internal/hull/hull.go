// Package hull reads hull.json: what the builder tells init (docs/guest.md).
package hull

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"
)

// Version of the document that this init understands.
const Version = 1

const maxSize = 8 << 20

// Layouts of a system.
const (
	Packed = "packed"
	Flat   = "flat"
)

// Supervisors: what runs the services. Onboot and onshutdown containers are always run by init itself.
const (
	Direct     = "direct"
	Containerd = "containerd"
)

// System is the whole document.
type System struct {
	Version int
	Name    string
	Layout  string
	// Supervisor is Direct or Containerd
	Supervisor string
	Hostname   string
	Modules    []string
	// Mounts are made before the first container runs
	Mounts []Mount
	Layers []Layer
	// Root lists the layers of the root file system, top first
	Root       []string
	Onboot     []*Container
	Onshutdown []*Container
	Services   []*Container
	Checks     []Check
	// ExpectAddress: an interface must get an address
	ExpectAddress bool
}

// Mount is a mount as in the OCI runtime specification.
type Mount struct {
	Destination string
	Type        string
	Source      string
	Options     []string
}

// Layer is an erofs image: a File, relative to the root of the initramfs, or Size bytes from Offset of a store on a disk.
type Layer struct {
	ID           string
	File         string
	Offset, Size int64
}

// OnDisk tells whether the layers are in a store on a disk; they all are, or none.
func (s *System) OnDisk() bool {
	return len(s.Layers) > 0 && s.Layers[0].File == ""
}

// Kinds of containers, as the control channel names them.
const (
	Onboot     = "onboot"
	Onshutdown = "onshutdown"
	Service    = "service"
)

// Container is one container.
type Container struct {
	Kind string
	// ID is unique among all containers that can run at one time: the name of the bundle's directory
	ID       string
	Name     string
	Bundle   string
	Layers   []string
	Writable bool
	Readonly bool
	Restart  Restart
	After    []string
	Requires []string
	Ready    *Ready
	Stop     Stop
	// Timeout is how long a container of Onboot and Onshutdown may run; 0: for ever
	Timeout time.Duration
	Logs    Logs
}

// Restart policies.
const (
	RestartNo        = "no"
	RestartOnFailure = "on-failure"
	RestartAlways    = "always"
)

// Restart is what happens when a service exits; Limit 0 means that it is never given up.
type Restart struct {
	Policy string
	Delay  time.Duration
	Limit  int
}

// Ready is when a service counts as ready: exactly one of TCP, File, Exec and Address.
type Ready struct {
	TCP     int
	File    string
	Exec    []string
	Address string
	Timeout time.Duration
}

// Stop is how a container is stopped.
type Stop struct {
	Signal  syscall.Signal
	Timeout time.Duration
}

// Logs is what becomes of a container's output.
type Logs struct {
	Size    int64
	Console bool
}

// Check is one thing to prove: exactly one of HTTP, Exec and Kill.
type Check struct {
	Name string
	HTTP *HTTPCheck
	Exec *ExecCheck
	// Kill is the name of a service that must come back after it was killed
	Kill    string
	Timeout time.Duration
}

// HTTPCheck is a request that must be answered.
type HTTPCheck struct {
	Port     int
	Path     string
	Status   int
	Contains string
}

// ExecCheck is a command that must exit as expected in a container.
type ExecCheck struct {
	Container string
	Command   []string
	Exit      int
	Contains  string
}

// Load reads and validates the document.
func Load(path string) (*System, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxSize {
		return nil, errors.New("larger than 8 MiB")
	}
	return Parse(data)
}

// Containers lists all of them, in the order in which they run.
func (s *System) Containers() []*Container {
	all := append([]*Container(nil), s.Onboot...)
	return append(append(all, s.Services...), s.Onshutdown...)
}
