// Package proc starts processes and learns how every child of PID 1 ends.
//
// PID 1 inherits orphans (a container's init among them, once the runtime that made it is gone), so it must wait for
// any child. Two waiters would steal from each other: this package has the only one, and nobody uses os/exec.
package proc

import (
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"hullkit/guest/init/internal/hull"
)

// Exit is how a process ended: by itself with Code, or by Signal (then not 0).
type Exit struct {
	Code   int
	Signal int
}

// unknownCode stands for an exit that nobody has learned.
const unknownCode = 255

// OK tells whether it ended with 0.
func (e Exit) OK() bool { return e.Code == 0 && e.Signal == 0 }

func (e Exit) String() string {
	if e.Signal != 0 {
		return "was killed by " + hull.SignalName(e.Signal)
	}
	return "exited with " + strconv.Itoa(e.Code)
}

// Process is a child that has not been waited for, or the memory of one.
type Process struct {
	PID    int
	reaper *Reaper
	done   chan struct{}
	exit   Exit
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit is valid after Done.
func (p *Process) Exit() Exit { return p.exit }

// Signal sends a signal unless the process has ended; its number cannot have gone to another one.
func (p *Process) Signal(number syscall.Signal) error {
	p.reaper.mutex.Lock()
	defer p.reaper.mutex.Unlock()
	if p.reaper.children[p.PID] != p {
		return os.ErrProcessDone
	}
	return syscall.Kill(p.PID, number)
}

// Reaper waits for all children.
type Reaper struct {
	mutex    sync.Mutex
	children map[int]*Process
	// exits of processes that somebody may adopt yet; kept only while expecting > 0
	unclaimed map[int]Exit
	expecting int
}

// NewReaper starts waiting. There must be one reaper in a process.
func NewReaper() *Reaper {
	reaper := &Reaper{children: map[int]*Process{}, unclaimed: map[int]Exit{}}
	died := make(chan os.Signal, 1)
	signal.Notify(died, syscall.SIGCHLD)
	go func() {
		for range died {
			reaper.reap()
		}
	}()
	return reaper
}

// reap takes all exits that are there (several deaths may have made one signal) and tells whether no child is left.
func (r *Reaper) reap() (alone bool) {
	for {
		pid, err := r.reapOne()
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return err == syscall.ECHILD
		case pid == 0:
			return false
		}
	}
}

func (r *Reaper) reapOne() (int, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
	if err == nil && pid > 0 {
		r.ended(pid, status)
	}
	return pid, err
}

// WaitAlone waits until no child is left: for PID 1, no other process. It tells whether that came in time.
func (r *Reaper) WaitAlone(timeout time.Duration) bool {
	for deadline := time.Now().Add(timeout); !r.reap(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

func (r *Reaper) ended(pid int, status syscall.WaitStatus) {
	exit := Exit{}
	if status.Signaled() {
		exit.Signal = int(status.Signal())
	} else {
		exit.Code = status.ExitStatus()
	}
	if process := r.children[pid]; process != nil {
		delete(r.children, pid)
		process.exit = exit
		close(process.done)
	} else if r.expecting > 0 {
		r.unclaimed[pid] = exit
	}
}

// Command is what to start. Files are the new process's descriptors from 0 on.
type Command struct {
	Args []string
	Env  []string
	Dir  string
	// Files nil: /dev/null three times
	Files []*os.File
	// Cgroup is the directory of the cgroup that it begins in; nil: that of this process
	Cgroup *os.File
}

// Start starts a process.
func (r *Reaper) Start(command Command) (*Process, error) {
	files := command.Files
	if files == nil {
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		defer null.Close()
		files = []*os.File{null, null, null}
	}
	descriptors := make([]uintptr, len(files))
	for i, file := range files {
		descriptors[i] = file.Fd()
	}
	attributes := &syscall.ProcAttr{Dir: command.Dir, Env: command.Env, Files: descriptors}
	if command.Cgroup != nil {
		attributes.Sys = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(command.Cgroup.Fd())}
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	pid, err := syscall.ForkExec(command.Args[0], command.Args, attributes)
	if err != nil {
		return nil, &os.PathError{Op: "start", Path: command.Args[0], Err: err}
	}
	return r.register(pid), nil
}

func (r *Reaper) register(pid int) *Process {
	process := &Process{PID: pid, reaper: r, done: make(chan struct{})}
	r.children[pid] = process
	return process
}

// Expect begins a time in which a process that is not known yet may end and still be adopted; call the result at its end.
func (r *Reaper) Expect() (end func()) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.expecting++
	return func() {
		r.mutex.Lock()
		defer r.mutex.Unlock()
		if r.expecting--; r.expecting == 0 {
			clear(r.unclaimed)
		}
	}
}

// Adopt makes a Process of a child that somebody else started and left to PID 1.
func (r *Reaper) Adopt(pid int) *Process {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	process := &Process{PID: pid, reaper: r, done: make(chan struct{})}
	if exit, ended := r.unclaimed[pid]; ended {
		delete(r.unclaimed, pid)
		process.exit = exit
		close(process.done)
		return process
	}
	if syscall.Kill(pid, 0) == syscall.ESRCH {
		// it ended before it was left to PID 1; only its own parent knows how
		process.exit = Exit{Code: unknownCode}
		close(process.done)
		return process
	}
	r.children[pid] = process
	return process
}
