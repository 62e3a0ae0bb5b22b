package container

import (
	"path/filepath"
	"sync"

	"hullkit/guest/init/internal/hull"
	"hullkit/guest/init/internal/logs"
)

const logDirectory = "/run/log"

// keeper keeps what containers have from one run to the next, however they are run.
type keeper struct {
	print func(container *hull.Container, line string)

	mutex sync.Mutex
	kept  map[*hull.Container]*kept
}

// kept is what stays of a container from one run to the next.
type kept struct {
	log      *logs.Log
	config   *RuntimeConfig
	prepared bool
}

func newKeeper(print func(*hull.Container, string)) *keeper {
	return &keeper{print: print, kept: map[*hull.Container]*kept{}}
}

func (k *keeper) keep(container *hull.Container) *kept {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	state := k.kept[container]
	if state == nil {
		var print func(string)
		if container.Logs.Console {
			print = func(line string) { k.print(container, line) }
		}
		name := container.ID + ".log"
		state = &kept{log: logs.New(filepath.Join(logDirectory, name), container.Logs.Size, print)}
		k.kept[container] = state
	}
	return state
}

// Tail returns the last lines of the container's output.
func (k *keeper) Tail(container *hull.Container) []string { return k.keep(container).log.Tail() }

// Release unmounts the root file system of a container that will not run again.
func (k *keeper) Release(container *hull.Container) {
	if state := k.keep(container); state.prepared && len(container.Layers) > 0 {
		unmountRoot(container)
		state.prepared = false
	}
}

// prepare makes what a container needs around it, once for all its runs.
func (k *kept) prepare(container *hull.Container, bundle string) error {
	if k.prepared {
		return nil
	}
	config, err := readRuntimeConfig(bundle)
	if err != nil {
		return err
	}
	if len(container.Layers) > 0 {
		if err := mountRoot(container); err != nil {
			return err
		}
	}
	if err := config.prepare(); err != nil {
		return err
	}
	k.config, k.prepared = config, true
	return nil
}
