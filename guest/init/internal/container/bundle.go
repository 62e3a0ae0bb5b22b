package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"hullkit/guest/init/internal/hull"
	"hullkit/guest/init/internal/json"
	"hullkit/guest/init/internal/sys"
)

// cgroupRoot is where cgroup2 is mounted.
const cgroupRoot = "/sys/fs/cgroup"

// RuntimeConfig is LinuxKit's runtime.json: what to prepare around a container, in the root namespaces.
type RuntimeConfig struct {
	Cgroups    []string
	Mounts     []hull.Mount
	Mkdir      []string
	Interfaces []Interface
	// BindNS maps a kind of namespace to a path that keeps it
	BindNS map[string]string
}

// Interface is a network interface for the container: an existing one that is moved in, or one that is made.
type Interface struct {
	Name         string
	Add          string
	Peer         string
	CreateInRoot bool
}

// kind of the interface to make; "" for one that exists.
func (i Interface) kind() string {
	if i.Add == "" && i.Peer != "" {
		return "veth"
	}
	return i.Add
}

// namespaces that bindNS can name; their files in /proc/PID/ns have the same names.
var namespaces = []string{"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"}

// ParseRuntimeConfig reads runtime.json.
func ParseRuntimeConfig(data []byte) (*RuntimeConfig, error) {
	document, top, err := json.Open(data)
	if err != nil {
		return nil, fmt.Errorf("runtime.json: %w", err)
	}
	config := &RuntimeConfig{
		Cgroups: top.Get("cgroups").Texts(),
		Mkdir:   top.Get("mkdir").Texts(),
		BindNS:  map[string]string{},
		Mounts:  hull.ParseMounts(top.Get("mounts")),
	}
	for _, each := range top.Get("interfaces").Items() {
		config.Interfaces = append(config.Interfaces, parseInterface(each))
	}
	for kind, path := range top.Get("bindNS").Members() {
		if !slices.Contains(namespaces, kind) {
			path.Fail("there is no such namespace")
		}
		if path.Text() != "" {
			config.BindNS[kind] = path.Text()
		}
	}
	if document.Err != nil {
		return nil, fmt.Errorf("runtime.json: %w", document.Err)
	}
	return config, nil
}

func parseInterface(field json.Field) Interface {
	parsed := Interface{
		Name:         field.Get("name").Text(),
		Add:          field.Get("add").Text(),
		Peer:         field.Get("peer").Text(),
		CreateInRoot: field.Get("createInRoot").Bool(),
	}
	switch kind := parsed.kind(); {
	case parsed.Name == "":
		field.Fail("an interface needs a name")
	case kind == "veth" && parsed.Peer == "":
		field.Fail("a veth interface needs a peer")
	case kind != "veth" && parsed.Peer != "":
		field.Fail("a %s interface has no peer", kind)
	}
	return parsed
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
	if err := MountAll(c.Mounts); err != nil {
		return err
	}
	for _, path := range c.Mkdir {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// MountAll makes mounts one after the other, and the directories that they need: their own, and those in which an
// overlay keeps what is written to it.
func MountAll(mounts []hull.Mount) error {
	for _, mount := range mounts {
		needed := []string{mount.Destination}
		for _, option := range mount.Options {
			name, path, _ := strings.Cut(option, "=")
			if mount.Type == "overlay" && (name == "upperdir" || name == "workdir") {
				needed = append(needed, path)
			}
		}
		for _, path := range needed {
			if err := os.MkdirAll(path, 0o755); err != nil {
				return err
			}
		}
		if err := sys.MountWithOptions(mount.Source, mount.Destination, mount.Type, mount.Options); err != nil {
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
		if err := keepNamespace(fmt.Sprintf("/proc/%d/ns/%s", pid, kind), path); err != nil {
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
	data, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err == nil {
		if path := specifiedCgroup(data); path != "" {
			return filepath.Join(cgroupRoot, path)
		}
	}
	data, err = os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return ""
	}
	return processCgroup(string(data))
}

// specifiedCgroup reads the path of the cgroup in config.json (OCI runtime specification, config-linux.md).
func specifiedCgroup(config []byte) string {
	_, top, err := json.Open(config)
	if err != nil {
		return ""
	}
	return top.Get("linux").Get("cgroupsPath").Text()
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
