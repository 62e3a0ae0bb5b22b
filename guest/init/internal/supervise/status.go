package supervise

import (
	"sync"
	"time"

	"hullkit/guest/init/internal/hull"
)

// State of a container, as the control channel names it.
type State string

// The states.
const (
	Waiting  State = "waiting"
	Starting State = "starting"
	Running  State = "running"
	Ready    State = "ready"
	Exited   State = "exited"
	Failed   State = "failed"
	Stopped  State = "stopped"
)

// Status is what is known about a container.
type Status struct {
	Container *hull.Container
	State     State
	// Exit is how its latest run ended; nil if none has
	Exit *Exit
	// Restarts counts starts after the first
	Restarts int
	// ExitsSinceReady counts runs that ended by themselves after the container had been ready
	ExitsSinceReady int
	// ReadyAt is when it was first ready (an onboot container: when it ended well)
	ReadyAt time.Time
	Message string
	// Instance that runs now; nil if none does
	Instance Instance
}

// ExitFields splits how the latest run ended: the exit code, or the signal.
func (s Status) ExitFields() (code, signal *int) {
	if s.Exit == nil {
		return nil, nil
	}
	if s.Exit.Signal != 0 {
		return nil, &s.Exit.Signal
	}
	return &s.Exit.Code, nil
}

// tracker holds a status and tells about every change.
type tracker struct {
	mutex  sync.Mutex
	status Status
	notify func(Status)
}

func newTracker(container *hull.Container, notify func(Status)) *tracker {
	return &tracker{status: Status{Container: container, State: Waiting}, notify: notify}
}

func (t *tracker) get() Status {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return t.status
}

// set changes the status and tells about it.
func (t *tracker) set(change func(*Status)) {
	t.mutex.Lock()
	change(&t.status)
	status := t.status
	t.mutex.Unlock()
	t.notify(status)
}
