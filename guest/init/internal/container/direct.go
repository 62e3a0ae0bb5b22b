// Package container runs containers directly through an OCI runtime (crun or runc), without a daemon.
package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"hullkit/guest/init/internal/hull"
	"hullkit/guest/init/internal/logs"
	"hullkit/guest/init/internal/proc"
	"hullkit/guest/init/internal/supervise"
)

const (
	pidDirectory = "/run/hull/pid"
	// far more than a runtime takes, even emulated on a busy host
	runtimeTimeout = 120 * time.Second
)

var runtimes = []string{"/usr/bin/crun", "/usr/bin/runc"}

// Direct runs containers; it is a supervise.Runtime.
type Direct struct {
	program string
	reaper  *proc.Reaper
	debug   func(format string, arguments ...any)
	*keeper
}

// NewDirect finds the runtime; print shows lines of containers that log to the console, debug tells how long things took.
func NewDirect(reaper *proc.Reaper, print func(*hull.Container, string), debug func(string, ...any)) (*Direct, error) {
	for _, program := range runtimes {
		if info, err := os.Stat(program); err == nil && info.Mode().IsRegular() {
			for _, directory := range []string{pidDirectory, logDirectory} {
				if err := os.MkdirAll(directory, 0o755); err != nil {
					return nil, err
				}
			}
			return &Direct{program: program, reaper: reaper, debug: debug, keeper: newKeeper(print)}, nil
		}
	}
	return nil, errors.New("there is no container runtime: neither " + strings.Join(runtimes, " nor "))
}

// Version of the runtime, as "crun 1.21".
func (d *Direct) Version() string {
	_, output, err := d.reaper.Run(runtimeTimeout, d.program, "--version")
	line, _, _ := strings.Cut(output, "\n")
	if err != nil || line == "" {
		return filepath.Base(d.program)
	}
	return strings.Replace(line, " version", "", 1)
}

// Start makes the container, sets up its namespaces and starts its program.
func (d *Direct) Start(container *hull.Container) (supervise.Instance, error) {
	state := d.keep(container)
	bundle := filepath.Join("/", container.Bundle)
	defer d.took(time.Now(), "start of "+container.ID)
	if err := state.prepare(container, bundle); err != nil {
		return nil, err
	}
	instance, err := d.create(container, bundle, state.log)
	if err != nil {
		return nil, err
	}
	if err := state.config.enter(instance.PID()); err != nil {
		instance.abandon()
		return nil, err
	}
	if err := d.command("start", container.ID); err != nil {
		instance.abandon()
		return nil, err
	}
	go instance.watch()
	return instance, nil
}

// create runs the runtime's create, with the container's output going to the log, and adopts the container's process.
func (d *Direct) create(container *hull.Container, bundle string, log *logs.Log) (*instance, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		reader.Close()
		writer.Close()
		return nil, err
	}
	result := &instance{run: newRun(container, d.reaper, []string{d.program}, reader), direct: d}
	go result.drain(log)
	defer d.reaper.Expect()()
	pidFile := filepath.Join(pidDirectory, container.ID)
	process, err := d.reaper.Start(proc.Command{
		Args:  []string{d.program, "create", "--bundle", bundle, "--pid-file", pidFile, container.ID},
		Files: []*os.File{null, writer, writer},
	})
	null.Close()
	writer.Close()
	if err == nil {
		err = finished(process, "create")
	}
	if err == nil {
		result.pid, err = readPID(pidFile)
	}
	if err != nil {
		result.abandon()
		return nil, err
	}
	result.process = d.reaper.Adopt(result.pid)
	result.cgroup = cgroupOf(bundle, result.pid)
	return result, nil
}

func finished(process *proc.Process, what string) error {
	if !process.Wait(runtimeTimeout) {
		process.Signal(9)
		return fmt.Errorf("the runtime's %s did not end within %v", what, runtimeTimeout)
	}
	if exit := process.Exit(); !exit.OK() {
		return fmt.Errorf("the runtime's %s %v", what, exit)
	}
	return nil
}

func readPID(path string) (int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("%s: %q is not a process id", path, data)
	}
	return pid, nil
}

func (d *Direct) took(since time.Time, what string) {
	d.debug("%s took %v", what, time.Since(since).Round(time.Millisecond))
}

// command runs the runtime and returns its message when it fails.
func (d *Direct) command(args ...string) error {
	defer d.took(time.Now(), filepath.Base(d.program)+" "+strings.Join(args, " "))
	exit, output, err := d.reaper.Run(runtimeTimeout, append([]string{d.program}, args...)...)
	if err == nil && !exit.OK() {
		err = fmt.Errorf("the runtime's %s %v: %s", args[0], exit, strings.TrimSpace(output))
	}
	return err
}
