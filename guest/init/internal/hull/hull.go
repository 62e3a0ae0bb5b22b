// Package hull reads hull.json: what the builder tells init (docs/guest.md).
package hull

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
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

// System is the whole document.
type System struct {
	Version  int      `json:"version"`
	Name     string   `json:"name"`
	Layout   string   `json:"layout"`
	Hostname string   `json:"hostname"`
	Modules  []string `json:"modules"`
	Layers   []Layer  `json:"layers"`
	Root     struct {
		Layers []string `json:"layers"`
	} `json:"root"`
	Onboot     []*Container `json:"onboot"`
	Onshutdown []*Container `json:"onshutdown"`
	Services   []*Container `json:"services"`
	Checks     []Check      `json:"checks"`
	Expect     struct {
		Address bool `json:"address"`
	} `json:"expect"`
}

// Layer is an erofs image; File is relative to the root of the initramfs.
type Layer struct {
	ID   string `json:"id"`
	File string `json:"file"`
}

// Kinds of containers, as the control channel names them.
const (
	Onboot     = "onboot"
	Onshutdown = "onshutdown"
	Service    = "service"
)

// Container is one container; Kind and ID are not part of the document.
type Container struct {
	Kind string `json:"-"`
	// ID is unique among all containers that can run at one time: the name of the bundle's directory
	ID       string   `json:"-"`
	Name     string   `json:"name"`
	Bundle   string   `json:"bundle"`
	Layers   []string `json:"layers"`
	Writable bool     `json:"writable"`
	Readonly bool     `json:"readonly"`
	Restart  Restart  `json:"restart"`
	After    []string `json:"after"`
	Requires []string `json:"requires"`
	Ready    *Ready   `json:"ready"`
	Stop     Stop     `json:"stop"`
	Logs     Logs     `json:"logs"`
}

// Restart policies.
const (
	RestartNo        = "no"
	RestartOnFailure = "on-failure"
	RestartAlways    = "always"
)

// Restart is what happens when a service exits; Limit 0 means that it is never given up.
type Restart struct {
	Policy string  `json:"policy"`
	Delay  Seconds `json:"delay"`
	Limit  int     `json:"limit"`
}

// Ready is when a service counts as ready: exactly one of TCP, File, Exec and Address.
type Ready struct {
	TCP     int      `json:"tcp"`
	File    string   `json:"file"`
	Exec    []string `json:"exec"`
	Address string   `json:"address"`
	Timeout Seconds  `json:"timeout"`
}

// Stop is how a container is stopped.
type Stop struct {
	Signal  Signal  `json:"signal"`
	Timeout Seconds `json:"timeout"`
}

// Logs is what becomes of a container's output.
type Logs struct {
	Size    int64 `json:"size"`
	Console bool  `json:"console"`
}

// Check is one thing to prove: exactly one of HTTP and Exec.
type Check struct {
	Name    string     `json:"name"`
	HTTP    *HTTPCheck `json:"http"`
	Exec    *ExecCheck `json:"exec"`
	Timeout Seconds    `json:"timeout"`
}

// HTTPCheck is a request that must be answered.
type HTTPCheck struct {
	Port     int    `json:"port"`
	Path     string `json:"path"`
	Status   int    `json:"status"`
	Contains string `json:"contains"`
}

// ExecCheck is a command that must exit as expected in a container.
type ExecCheck struct {
	Container string   `json:"container"`
	Command   []string `json:"command"`
	Exit      int      `json:"exit"`
	Contains  string   `json:"contains"`
}

// Seconds is a length of time, written as a number of seconds.
type Seconds time.Duration

// Duration returns it as Go's type.
func (s Seconds) Duration() time.Duration { return time.Duration(s) }

// UnmarshalJSON reads a number that is not negative and at most a year.
func (s *Seconds) UnmarshalJSON(data []byte) error {
	var number float64
	if err := json.Unmarshal(data, &number); err != nil {
		return errors.New("not a number of seconds")
	}
	if !(number >= 0 && number <= 366*86400) {
		return fmt.Errorf("%v seconds", number)
	}
	*s = Seconds(number * float64(time.Second))
	return nil
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

// Parse reads and validates the document.
func Parse(data []byte) (*System, error) {
	system := &System{}
	if err := json.Unmarshal(data, system); err != nil {
		return nil, err
	}
	if system.Version != Version {
		return nil, fmt.Errorf("version %d; this init understands %d", system.Version, Version)
	}
	system.complete()
	if err := system.validate(); err != nil {
		return nil, err
	}
	return system, nil
}

// Containers lists all of them, in the order in which they run.
func (s *System) Containers() []*Container {
	all := append([]*Container(nil), s.Onboot...)
	return append(append(all, s.Services...), s.Onshutdown...)
}
