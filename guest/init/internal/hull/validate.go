package hull

import (
	"fmt"
	"path"
	"strings"
)

// storeBlock is the unit of a store on a disk, in bytes.
const storeBlock = 4096

// validate checks what belongs together.
func (s *System) validate() error {
	if s.Layout != Packed && s.Layout != Flat {
		return fmt.Errorf("layout is %q, not packed or flat", s.Layout)
	}
	if s.Supervisor != Direct && s.Supervisor != Containerd {
		return fmt.Errorf("supervisor is %q, not direct or containerd", s.Supervisor)
	}
	layers := map[string]bool{}
	for i, layer := range s.Layers {
		if !plainName(layer.ID) || layer.File != "" && !relative(layer.File) {
			return fmt.Errorf("layers[%d]: id %q, file %q", i, layer.ID, layer.File)
		}
		if onDisk := layer.File == ""; onDisk != s.OnDisk() || onDisk == (layer.Size == 0) || layer.Offset%storeBlock != 0 || layer.Size%storeBlock != 0 {
			return fmt.Errorf("layers[%d]: file %q, offset %d, size %d", i, layer.File, layer.Offset, layer.Size)
		}
		layers[layer.ID] = true
	}
	if s.Layout == Packed && len(s.Root) == 0 {
		return fmt.Errorf("root.layers is empty")
	}
	if err := checkReferences("root", s.Root, layers); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, container := range s.Containers() {
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
		if s.Supervisor == Containerd && service.ID == Containerd {
			// its cgroup and its log are containerd's own
			return fmt.Errorf("a service cannot be named %q where containerd runs the services", service.ID)
		}
		names[service.Name] = true
	}
	for i, check := range s.Checks {
		if check.HTTP != nil && (check.HTTP.Port == 0 || check.HTTP.Path[0] != '/' || strings.ContainsAny(check.HTTP.Path, " \r\n")) {
			return fmt.Errorf("checks[%d] %q: port %d, path %q", i, check.Name, check.HTTP.Port, check.HTTP.Path)
		}
		if check.Exec != nil && (len(check.Exec.Command) == 0 || !names[check.Exec.Container]) {
			return fmt.Errorf("checks[%d] %q: needs a command and the name of a service", i, check.Name)
		}
		if check.Kill != "" && !names[check.Kill] {
			return fmt.Errorf("checks[%d] %q: kill: there is no service %q", i, check.Name, check.Kill)
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
