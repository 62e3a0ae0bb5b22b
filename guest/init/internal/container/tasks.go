package container

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"hullkit/guest/init/internal/containerd"
	"hullkit/guest/init/internal/hull"
	"hullkit/guest/init/internal/logs"
	"hullkit/guest/init/internal/proc"
	"hullkit/guest/init/internal/supervise"
)

const (
	outputDirectory = "/run/hull/output"
	// runcState is where containerd's shims let runc keep its state (guest/service)
	runcState = "/run/containerd/runc/services.linuxkit"
	runc      = "/usr/bin/runc"
	lostDelay = 200 * time.Millisecond
	lostTries = 10
	// above it, an exit status is that of a signal
	signalStatus = 128
	maxSignal    = 64
)

// Tasks runs containers as tasks of containerd; it is a supervise.Runtime.
type Tasks struct {
	containerd *containerd.Containerd
	reaper     *proc.Reaper
	*keeper
}

// NewTasks makes a runtime of a containerd; print shows lines of containers that log to the console.
func NewTasks(daemon *containerd.Containerd, reaper *proc.Reaper, print func(*hull.Container, string)) (*Tasks, error) {
	if err := os.MkdirAll(outputDirectory, 0o700); err != nil {
		return nil, err
	}
	return &Tasks{containerd: daemon, reaper: reaper, keeper: newKeeper(print)}, nil
}

// Start makes a task, sets up its namespaces and starts its program. When containerd goes away meanwhile, all is done
// again.
func (t *Tasks) Start(container *hull.Container) (supervise.Instance, error) {
	state := t.keep(container)
	bundle := filepath.Join("/", container.Bundle)
	if err := state.prepare(container, bundle); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(runtimeTimeout); ; {
		task, err := t.start(container, bundle, state)
		if err == nil {
			go task.watch()
			return task, nil
		}
		if !errors.Is(err, containerd.ErrUnavailable) || time.Now().After(deadline) {
			return nil, err
		}
	}
}

func (t *Tasks) start(container *hull.Container, bundle string, state *kept) (*task, error) {
	path := filepath.Join(outputDirectory, container.ID)
	output, err := openOutput(path)
	if err != nil {
		return nil, err
	}
	runtime := []string{runc, "--root", runcState}
	result := &task{run: newRun(container, t.reaper, runtime, output), containerd: t.containerd}
	go result.drain(state.log)
	if result.pid, err = t.containerd.Create(container.ID, bundle, path); err != nil {
		result.finishOutput(0)
		return nil, err
	}
	result.cgroup = cgroupOf(bundle, result.pid)
	err = state.config.enter(result.pid)
	if err == nil {
		err = t.containerd.Start(container.ID)
	}
	if err != nil {
		result.abandon()
		return nil, err
	}
	return result, nil
}

// openOutput makes the FIFO that a task's shim writes to. It is open for writing too, so that it has no end before the
// task does.
func openOutput(path string) (*os.File, error) {
	if err := syscall.Mkfifo(path, 0o600); err != nil && !errors.Is(err, syscall.EEXIST) {
		return nil, &os.PathError{Op: "mkfifo", Path: path, Err: err}
	}
	return os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0)
}

// task is one run of a container as a task of containerd.
type task struct {
	run
	containerd *containerd.Containerd
}

// Exited tells whether the first process has ended. It is a child of the shim, which waits for it at once, and tells
// containerd, which tells hull-service, which tells init.
func (t *task) Exited() bool { return syscall.Kill(t.pid, 0) == syscall.ESRCH }

// Signal sends a signal; one that would be lost on the process kills it instead.
func (t *task) Signal(signal syscall.Signal) error {
	if wouldIgnore(t.pid, int(signal)) {
		return t.Kill()
	}
	return t.containerd.Kill(t.container.ID, signal)
}

// Kill kills every process of the container. It needs no containerd, as long as the container has a cgroup.
func (t *task) Kill() error {
	if t.killCgroup() {
		return nil
	}
	return t.containerd.Kill(t.container.ID, syscall.SIGKILL)
}

// watch waits for the end of the first process, and takes the task away.
func (t *task) watch() {
	code, err := t.wait()
	switch {
	case err != nil:
		// containerd and the task's shim are gone, or do not know it any more: nothing of it must run on unseen
		t.killCgroup()
		t.exit = supervise.Exit{Exit: proc.Exit{Code: 255}, Reason: "containerd lost it: " + err.Error()}
	case code > signalStatus && code <= signalStatus+maxSignal:
		t.exit.Signal = code - signalStatus
	default:
		t.exit.Code = code
	}
	t.explain()
	t.abandon()
	close(t.done)
}

// wait waits for the exit status. An error that says nothing of the task may go away: the shim tells another story than
// containerd, or containerd is being started again.
func (t *task) wait() (code int, err error) {
	for range lostTries {
		if code, err = t.containerd.Wait(t.container.ID); err == nil || errors.Is(err, containerd.ErrNotFound) {
			break
		}
		time.Sleep(lostDelay)
	}
	return code, err
}

// abandon takes the task away. All that it wrote is in the FIFO by then.
func (t *task) abandon() {
	t.containerd.Delete(t.container.ID)
	t.finishOutput(0)
}

// drain reads the FIFO until it is told to stop by a deadline, and then what is there still.
func (t *task) drain(log *logs.Log) {
	defer close(t.drained)
	buffer := make([]byte, 4096)
	for {
		n, err := t.output.Read(buffer)
		log.Write(buffer[:n])
		if err != nil {
			break
		}
	}
	t.output.SetReadDeadline(time.Time{})
	if connection, err := t.output.SyscallConn(); err == nil {
		connection.Read(func(descriptor uintptr) bool {
			for n, _ := syscall.Read(int(descriptor), buffer); n > 0; n, _ = syscall.Read(int(descriptor), buffer) {
				log.Write(buffer[:n])
			}
			return true
		})
	}
	log.Flush()
}
