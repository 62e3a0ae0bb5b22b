package supervise

import (
	"fmt"
	"time"

	"hullkit/guest/init/internal/hull"
)

// Sequence runs containers one after another, each to its end.
type Sequence struct {
	runtime  Runtime
	trackers []*tracker
}

// NewSequence makes a sequence; notify is told of every change.
func NewSequence(runtime Runtime, containers []*hull.Container, notify func(Status)) *Sequence {
	sequence := &Sequence{runtime: runtime}
	for _, container := range containers {
		sequence.trackers = append(sequence.trackers, newTracker(container, notify))
	}
	return sequence
}

// Run runs all; a failure does not hold up the others. Closing stop (may be nil) ends the one that runs and skips the
// rest.
func (s *Sequence) Run(stop <-chan struct{}) {
	for _, track := range s.trackers {
		select {
		case <-stop:
			return
		default:
			runToEnd(s.runtime, track, stop)
		}
	}
}

// Statuses of all containers, in order.
func (s *Sequence) Statuses() []Status {
	all := make([]Status, len(s.trackers))
	for i, track := range s.trackers {
		all[i] = track.get()
	}
	return all
}

// runToEnd runs one container and waits for its end.
func runToEnd(runtime Runtime, track *tracker, stop <-chan struct{}) {
	container := track.status.Container
	defer runtime.Release(container)
	track.set(func(status *Status) { status.State = Starting })
	instance, err := runtime.Start(container)
	if err != nil {
		track.set(func(status *Status) {
			status.State, status.Message = Failed, "it could not be started: "+err.Error()
		})
		return
	}
	track.set(func(status *Status) { status.State, status.Instance = Running, instance })
	stopping, late := false, false
	select {
	case <-instance.Done():
	case <-expiry(container.Timeout):
		late = true
		stopInstance(instance, container.Stop)
	case <-stop:
		stopping = true
		stopInstance(instance, container.Stop)
	}
	exit := instance.Exit()
	track.set(func(status *Status) {
		status.Exit, status.Instance = &exit, nil
		switch {
		case stopping:
			status.State = Stopped
		case late:
			status.State, status.Message = Failed, fmt.Sprintf("it had not ended after %v, its timeout", container.Timeout)
		case exit.OK():
			status.State, status.ReadyAt = Exited, time.Now()
		default:
			status.State, status.Message = Failed, "it "+exit.String()
		}
	})
}

// expiry sends when the time is over; never for 0.
func expiry(timeout time.Duration) <-chan time.Time {
	if timeout == 0 {
		return nil
	}
	return time.After(timeout)
}
