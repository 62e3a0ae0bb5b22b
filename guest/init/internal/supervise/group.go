package supervise

import (
	"errors"
	"fmt"
	"sync"

	"hullkit/guest/init/internal/hull"
)

// Group supervises the services of a system.
type Group struct {
	services []*service
}

// NewGroup makes a group; notify is told of every change, from several goroutines.
func NewGroup(runtime Runtime, containers []*hull.Container, notify func(Status)) *Group {
	group := &Group{}
	byName := map[string]*service{}
	for _, container := range containers {
		service := newService(runtime, container, notify)
		group.services = append(group.services, service)
		byName[container.Name] = service
	}
	wrong := problems(containers)
	for _, service := range group.services {
		service.problem = wrong[service.container().Name]
		for _, name := range service.container().Requires {
			if byName[name] != nil {
				service.requires = append(service.requires, byName[name])
			}
		}
		for _, name := range service.container().After {
			if byName[name] != nil {
				service.after = append(service.after, byName[name])
			}
		}
	}
	return group
}

// Start starts all services, each as soon as those that it depends on are ready.
func (g *Group) Start() {
	for _, service := range g.services {
		go service.run()
	}
}

// Wait waits until every service is ready or has failed for good.
func (g *Group) Wait() {
	for _, service := range g.services {
		<-service.settled
	}
}

// Statuses of all services, in the order of the document.
func (g *Group) Statuses() []Status {
	all := make([]Status, len(g.services))
	for i, service := range g.services {
		all[i] = service.get()
	}
	return all
}

// Kill ends a service as a crash would; that it has to be started again is not held against it.
func (g *Group) Kill(name string) error {
	for _, service := range g.services {
		if service.container().Name != name {
			continue
		}
		instance := service.excuse()
		if instance == nil {
			return errors.New("it does not run")
		}
		return instance.Kill()
	}
	return fmt.Errorf("there is no service %s", name)
}

// Stop ends all services, each after those that depend on it, and waits.
func (g *Group) Stop() {
	var group sync.WaitGroup
	for _, service := range g.services {
		group.Go(func() {
			// services in a cycle have never run: nobody waits for them
			if service.problem == "" {
				for _, other := range g.dependents(service) {
					<-other.done
				}
			}
			service.requestStop()
			<-service.done
		})
	}
	group.Wait()
}

// dependents of a service that are to be stopped before it.
func (g *Group) dependents(of *service) []*service {
	var found []*service
	for _, other := range g.services {
		for _, name := range dependencies(other.container()) {
			if name == of.container().Name && other.problem == "" {
				found = append(found, other)
			}
		}
	}
	return found
}
