package supervise

import (
	"fmt"
	"slices"
	"strings"

	"hullkit/guest/init/internal/hull"
)

// problems finds services whose dependencies cannot be met: name to what is wrong. Only these fail, not the others.
func problems(services []*hull.Container) map[string]string {
	byName := map[string]*hull.Container{}
	for _, service := range services {
		byName[service.Name] = service
	}
	found := map[string]string{}
	for _, service := range services {
		for _, name := range dependencies(service) {
			if byName[name] == nil {
				found[service.Name] = fmt.Sprintf("it depends on %s, and there is no such service", name)
			}
		}
	}
	for _, service := range services {
		if cycle := cycleThrough(service, byName); cycle != nil {
			found[service.Name] = "it waits for itself: " + strings.Join(cycle, " → ")
		}
	}
	return found
}

// dependencies lists what must be ready before a service, each once.
func dependencies(service *hull.Container) []string {
	var names []string
	for _, name := range slices.Concat(service.Requires, service.After) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// cycleThrough returns the shortest way from a service back to itself, both ends included; nil if there is none.
func cycleThrough(start *hull.Container, byName map[string]*hull.Container) []string {
	paths := [][]string{{start.Name}}
	seen := map[string]bool{}
	for len(paths) > 0 {
		path := paths[0]
		paths = paths[1:]
		at := byName[path[len(path)-1]]
		if at == nil {
			continue
		}
		for _, next := range dependencies(at) {
			longer := append(slices.Clone(path), next)
			if next == start.Name {
				return longer
			}
			if !seen[next] {
				seen[next] = true
				paths = append(paths, longer)
			}
		}
	}
	return nil
}
