// Package supervise decides when containers start, start again and stop. How they are run is behind Runtime.
package supervise

import (
	"context"
	"syscall"
	"time"

	"hullkit/guest/init/internal/hull"
	"hullkit/guest/init/internal/proc"
)

// Runtime runs containers: directly through an OCI runtime, or (one day) through containerd.
type Runtime interface {
	// Start starts a container and returns once its program has been started.
	Start(container *hull.Container) (Instance, error)
	// Tail returns the last lines of the container's output.
	Tail(container *hull.Container) []string
	// Release gives up what is kept for a container between its runs.
	Release(container *hull.Container)
}

// Instance is one run of a container.
type Instance interface {
	// Done is closed when the container's first process has ended and nothing of it runs any more.
	Done() <-chan struct{}
	// Exit is valid after Done.
	Exit() Exit
	// Exited tells whether the first process has ended; Done may take a while longer.
	Exited() bool
	// Signal sends a signal to the container's first process.
	Signal(signal syscall.Signal) error
	// Kill ends all of it at once.
	Kill() error
	// Ready asks once whether the condition holds.
	Ready(ctx context.Context, condition *hull.Ready) error
	// PID of the first process.
	PID() int
	// Cgroup is the directory of the container's cgroup; "" when it has none of its own.
	Cgroup() string
	// Exec runs a command in the container; a command that takes longer than timeout is killed.
	Exec(timeout time.Duration, command []string) (exit proc.Exit, output string, err error)
}

// Exit is how a container ended; Reason says more when it is known.
type Exit struct {
	proc.Exit
	Reason string
}

func (e Exit) String() string {
	if e.Reason != "" {
		return e.Exit.String() + " (" + e.Reason + ")"
	}
	return e.Exit.String()
}
