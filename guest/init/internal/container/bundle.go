package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"hullkit/guest/init/internal/sys"
)

// cgroupRoot is where cgroup2 is mounted.
const cgroupRoot = "/sys/fs/cgroup"

// RuntimeConfig is LinuxKit's runtime.json: what to prepare around a container, in the root namespaces.
type RuntimeConfig struct {
	Cgroups    []string    `json:"cgroups"`
	Mounts     []Mount     `json:"mounts"`
	Mkdir      []string    `json:"mkdir"`
	Interfaces []Interface `json:"interfaces"`
	// BindNS maps a kind of namespace to a path that keeps it
	BindNS map[string]string `json:"bindNS"`
}

// Mount is a mount as in the OCI runtime specification.
type Mount struct {
	Destination string   `json:"destination"`
	Type        string   `json:"type"`
	Source      string   `json:"source"`
	Options     []string `json:"options"`
}

// Interface is a network interface for the container: an existing one that is moved in, or one that is made.
type Interface struct {
	Name         string `json:"name"`
	Add          string `json:"add"`
	Peer         string `json:"peer"`
	CreateInRoot bool   `json:"createInRoot"`
}

// kind of the interface to make; "" for one that exists.
func (i Interface) kind() string {
	if i.Add == "" && i.Peer != "" {
		return "veth"
	}
	return i.Add
}

func (i Interface) validate() error {
	switch {
	case i.Name == "":
		return errors.New("runtime.json: an interface needs a name")
	case i.kind() == "veth" && i.Peer == "":
		return fmt.Errorf("runtime.json: the veth interface %s needs a peer", i.Name)
	case i.kind() != "veth" && i.Peer != "":
		return fmt.Errorf("runtime.json: a %s interface has no peer", i.kind())
	}
	return nil
}

// namespaceFiles maps LinuxKit's names to those in /proc/PID/ns.
var namespaceFiles = map[string]string{
	"cgroup": "cgroup", "ipc": "ipc", "mnt": "mnt", "net": "net", "pid": "pid", "user": "user", "uts": "uts",
}

// ParseRuntimeConfig reads runtime.json.
func ParseRuntimeConfig(data []byte) (*RuntimeConfig, error) {
	config := &RuntimeConfig{}
	if err := json.Unmarshal(data, config); err != nil {
		return nil, fmt.Errorf("runtime.json: %w", err)
	}
	for _, each := range config.Interfaces {
		if err := each.validate(); err != nil {
			return nil, err
		}
	}
	for kind, path := range config.BindNS {
		if namespaceFiles[kind] == "" && path != "" {
			return nil, fmt.Errorf("runtime.json: there is no %q namespace", kind)
		}
	}
	return config, nil
}

func readRuntimeConfig(bundle string) (*RuntimeConfig, error) {
	data, err := os.ReadFile(filepath.Join(bundle, "runtime.json"))
	if errors.Is(err, os.ErrNotExist) {
		return &RuntimeConfig{}, nil
	}
	if err != nil {
		return nil, err
	}
	return ParseRuntimeConfig(data)
}

// prepare does what must be there before the container is made, once for all its runs. A directory may lie in a mount.
func (c *RuntimeConfig) prepare() error {
	for _, path := range c.Cgroups {
		if err := os.MkdirAll(filepath.Join(cgroupRoot, path), 0o755); err != nil {
			return err
		}
	}
	for _, mount := range c.Mounts {
		if err := os.MkdirAll(mount.Destination, 0o755); err != nil {
			return err
		}
		if err := sys.MountWithOptions(mount.Source, mount.Destination, mount.Type, mount.Options); err != nil {
			return err
		}
	}
	for _, path := range c.Mkdir {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// enter does what needs the namespaces of the container's first process, before its program runs.
func (c *RuntimeConfig) enter(pid int) error {
	for _, each := range c.Interfaces {
		if err := each.enter(pid); err != nil {
			return err
		}
	}
	for kind, path := range c.BindNS {
		if path == "" {
			continue
		}
		if err := keepNamespace(fmt.Sprintf("/proc/%d/ns/%s", pid, namespaceFiles[kind]), path); err != nil {
			return err
		}
	}
	return nil
}

func (i Interface) enter(pid int) error {
	if kind := i.kind(); kind != "" {
		inside := pid
		if i.CreateInRoot {
			inside = 0
		}
		if err := sys.LinkAdd(i.Name, kind, i.Peer, inside); err != nil {
			return err
		}
		if !i.CreateInRoot {
			return nil
		}
	}
	return sys.LinkMove(i.Name, pid)
}

func keepNamespace(namespace, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o444)
	if err != nil {
		return err
	}
	file.Close()
	return sys.MountWithOptions(namespace, path, "bind", nil)
}

// cgroupOf finds the directory of a container's cgroup: the path in its config.json, else that of its first process.
func cgroupOf(bundle string, pid int) string {
	var spec struct {
		Linux struct {
			CgroupsPath string `json:"cgroupsPath"`
		} `json:"linux"`
	}
	data, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err == nil && json.Unmarshal(data, &spec) == nil && spec.Linux.CgroupsPath != "" {
		return filepath.Join(cgroupRoot, spec.Linux.CgroupsPath)
	}
	data, err = os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return ""
	}
	return processCgroup(string(data))
}

// processCgroup reads /proc/PID/cgroup (cgroups(7)); the root cgroup is nobody's own.
func processCgroup(text string) string {
	for line := range strings.Lines(text) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::/"); ok && path != "" {
			return filepath.Join(cgroupRoot, path)
		}
	}
	return ""
}
