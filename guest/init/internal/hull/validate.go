package hull

import (
	"fmt"
	"path"
	"strings"
	"syscall"
	"time"
)

// Defaults of what a document leaves out.
const (
	DefaultLogSize     = 1 << 20
	defaultStopSignal  = Signal(syscall.SIGTERM)
	defaultStopTimeout = Seconds(10 * time.Second)
	defaultReady       = Seconds(30 * time.Second)
	defaultCheck       = Seconds(20 * time.Second)
	minLogSize         = 4096
)

// complete fills in what the document leaves out.
func (s *System) complete() {
	groups := map[string][]*Container{Onboot: s.Onboot, Onshutdown: s.Onshutdown, Service: s.Services}
	for kind, containers := range groups {
		for _, container := range containers {
			if container != nil {
				container.complete(kind)
			}
		}
	}
	for i := range s.Checks {
		if s.Checks[i].Timeout == 0 {
			s.Checks[i].Timeout = defaultCheck
		}
		if http := s.Checks[i].HTTP; http != nil && http.Status == 0 {
			http.Status = 200
		}
	}
}

func (c *Container) complete(kind string) {
	c.Kind = kind
	c.ID = path.Base(c.Bundle)
	if c.Restart.Policy == "" {
		c.Restart.Policy = RestartNo
	}
	if c.Stop.Signal == 0 {
		c.Stop.Signal = defaultStopSignal
	}
	if c.Stop.Timeout == 0 {
		c.Stop.Timeout = defaultStopTimeout
	}
	if c.Logs.Size == 0 {
		c.Logs.Size = DefaultLogSize
	}
	if c.Ready != nil && c.Ready.Timeout == 0 {
		c.Ready.Timeout = defaultReady
	}
}

func (s *System) validate() error {
	if s.Layout != Packed && s.Layout != Flat {
		return fmt.Errorf("layout is %q, not packed or flat", s.Layout)
	}
	layers := map[string]bool{}
	for i, layer := range s.Layers {
		if !plainName(layer.ID) || !relative(layer.File) {
			return fmt.Errorf("layers[%d]: id %q, file %q", i, layer.ID, layer.File)
		}
		layers[layer.ID] = true
	}
	if s.Layout == Packed && len(s.Root.Layers) == 0 {
		return fmt.Errorf("root.layers is empty")
	}
	if err := checkReferences("root", s.Root.Layers, layers); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, container := range s.Containers() {
		if container == nil {
			return fmt.Errorf("a container is null")
		}
		if err := container.validate(layers, s.Layout); err != nil {
			return fmt.Errorf("%s %q: %w", container.Kind, container.Name, err)
		}
		if key := container.Kind + "/" + container.ID; seen[key] {
			return fmt.Errorf("%s %q: its bundle %s is there twice", container.Kind, container.Name, container.Bundle)
		} else {
			seen[key] = true
		}
	}
	return s.validateServices()
}

func (s *System) validateServices() error {
	names := map[string]bool{}
	for _, service := range s.Services {
		if names[service.Name] {
			return fmt.Errorf("two services are named %q", service.Name)
		}
		names[service.Name] = true
	}
	for i, check := range s.Checks {
		if (check.HTTP != nil) == (check.Exec != nil) {
			return fmt.Errorf("checks[%d] %q: exactly one of http and exec", i, check.Name)
		}
		if check.HTTP != nil && (check.HTTP.Port < 1 || check.HTTP.Port > 65535 || strings.ContainsAny(check.HTTP.Path, " \r\n")) {
			return fmt.Errorf("checks[%d] %q: port %d, path %q", i, check.Name, check.HTTP.Port, check.HTTP.Path)
		}
		if check.Exec != nil && (len(check.Exec.Command) == 0 || !names[check.Exec.Container]) {
			return fmt.Errorf("checks[%d] %q: needs a command and the name of a service", i, check.Name)
		}
	}
	return nil
}

func (c *Container) validate(layers map[string]bool, layout string) error {
	if !plainName(c.Name) || !plainName(c.ID) {
		return fmt.Errorf("not a name that a file can have")
	}
	if !relative(c.Bundle) {
		return fmt.Errorf("bundle %q is not a path below /", c.Bundle)
	}
	if layout == Packed && len(c.Layers) == 0 {
		return fmt.Errorf("it has no layers")
	}
	if err := checkReferences("it", c.Layers, layers); err != nil {
		return err
	}
	switch c.Restart.Policy {
	case RestartNo, RestartOnFailure, RestartAlways:
	default:
		return fmt.Errorf("restart policy %q", c.Restart.Policy)
	}
	if c.Restart.Limit < 0 {
		return fmt.Errorf("restart limit %d", c.Restart.Limit)
	}
	if c.Logs.Size < minLogSize {
		return fmt.Errorf("logs.size %d is less than %d", c.Logs.Size, minLogSize)
	}
	return c.Ready.validate()
}

func (r *Ready) validate() error {
	if r == nil {
		return nil
	}
	kinds := 0
	for _, given := range []bool{r.TCP != 0, r.File != "", len(r.Exec) > 0, r.Address != ""} {
		if given {
			kinds++
		}
	}
	if kinds != 1 {
		return fmt.Errorf("ready: exactly one of tcp, file, exec and address")
	}
	if r.TCP < 0 || r.TCP > 65535 {
		return fmt.Errorf("ready: port %d", r.TCP)
	}
	if r.Address != "" && r.Address != "ipv4" && r.Address != "ipv6" {
		return fmt.Errorf("ready: address %q is not ipv4 or ipv6", r.Address)
	}
	return nil
}

// checkReferences verifies references to layers: ID, or ID/DIR.
func checkReferences(who string, references []string, layers map[string]bool) error {
	for _, reference := range references {
		id, _, _ := strings.Cut(reference, "/")
		if !layers[id] {
			return fmt.Errorf("%s names the layer %q, which is not among layers", who, id)
		}
		// overlayfs separates directories by colons and options by commas
		if !relative(reference) || strings.ContainsAny(reference, `:,\`) {
			return fmt.Errorf("%s has a bad reference to a layer: %q", who, reference)
		}
	}
	return nil
}

func relative(name string) bool {
	return name != "" && name != "." && path.Clean("/"+name) == "/"+name && !strings.ContainsRune(name, 0)
}

func plainName(name string) bool {
	if name == "" || len(name) > 200 || name[0] == '.' || name[0] == '-' {
		return false
	}
	for _, c := range name {
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._-+", c)
		if !ok {
			return false
		}
	}
	return true
}
