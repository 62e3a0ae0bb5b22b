package supervise

import (
	"context"
	"fmt"
	"sync"
	"time"

	"hullkit/guest/init/internal/hull"
)

const (
	// without a condition of its own, a service is ready when it has run for so long
	defaultReadyAfter = time.Second
	firstPoll         = 20 * time.Millisecond
	maxPoll           = 200 * time.Millisecond
	// a condition that starts a program is asked less often
	maxExecPoll = time.Second
	// how long to wait for the end of a service after it was killed
	killTimeout = 5 * time.Second
)

// service is one supervised service: a goroutine in run.
type service struct {
	*tracker
	runtime Runtime
	backoff backoff
	// dependencies by name, and those of them that must not fail
	after    []*service
	requires []*service
	problem  string
	// excused is not 0 when its next exit is nobody's fault; it belongs to the tracker's mutex
	excused int

	settleOnce sync.Once
	// settled is closed when it is ready for the first time or has failed for good
	settled  chan struct{}
	stopOnce sync.Once
	// stop is closed to end it
	stop chan struct{}
	// done is closed when it has ended for good
	done chan struct{}
}

func newService(runtime Runtime, container *hull.Container, notify func(Status)) *service {
	return &service{
		tracker: newTracker(container, notify),
		runtime: runtime,
		backoff: backoff{policy: container.Restart},
		settled: make(chan struct{}),
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
	}
}

func (s *service) container() *hull.Container { return s.status.Container }

func (s *service) settle() { s.settleOnce.Do(func() { close(s.settled) }) }

func (s *service) requestStop() { s.stopOnce.Do(func() { close(s.stop) }) }

// excuse makes the end of the running instance, if there is one, count for nothing.
func (s *service) excuse() Instance {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.status.Instance != nil {
		s.excused = 1
	}
	return s.status.Instance
}

// fail ends the wait for the service: it will not become ready.
func (s *service) fail(message string) {
	s.set(func(status *Status) { status.State, status.Message = Failed, message })
	s.settle()
}

func (s *service) run() {
	defer close(s.done)
	defer s.settle()
	if s.problem != "" {
		s.fail(s.problem)
		return
	}
	if !s.waitForDependencies() {
		return
	}
	s.set(func(status *Status) { status.State = Starting })
	delay, again := s.runOnce()
	for again && s.sleep(delay) {
		s.set(func(status *Status) { status.Restarts++; status.State = Starting })
		delay, again = s.runOnce()
	}
	s.runtime.Release(s.container())
}

// waitForDependencies tells whether the service may start.
func (s *service) waitForDependencies() bool {
	for _, other := range append(append([]*service(nil), s.requires...), s.after...) {
		select {
		case <-other.settled:
		case <-s.stop:
			s.stopped()
			return false
		}
	}
	for _, other := range s.requires {
		if status := other.get(); status.ReadyAt.IsZero() {
			s.fail(fmt.Sprintf("it requires %s, which did not become ready", status.Container.Name))
			return false
		}
	}
	return true
}

func (s *service) stopped() {
	s.set(func(status *Status) { status.State, status.Instance = Stopped, nil })
}

// sleep waits before the next run, and tells whether there is to be one.
func (s *service) sleep(delay time.Duration) bool {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.stop:
		s.stopped()
		return false
	}
}

// runOnce runs the container until it ends, and tells when to start it again.
func (s *service) runOnce() (delay time.Duration, again bool) {
	started := time.Now()
	instance, err := s.runtime.Start(s.container())
	if err != nil {
		return s.ended(time.Since(started), nil, "it could not be started: "+err.Error())
	}
	s.set(func(status *Status) { status.State, status.Message, status.Instance = Running, "", instance })
	context, cancel := context.WithCancel(context.Background())
	ready := make(chan error, 1)
	go func() { ready <- waitReady(context, instance, s.container().Ready) }()
	defer cancel()
	for {
		select {
		case err := <-ready:
			if !instance.Exited() {
				s.becameReady(err)
			}
		case <-instance.Done():
			exit := instance.Exit()
			return s.ended(time.Since(started), &exit, "it "+exit.String())
		case <-s.stop:
			cancel()
			s.end(instance)
			return 0, false
		}
	}
}

func (s *service) becameReady(err error) {
	if err != nil {
		// it is left alone: it may be of use, and somebody may want to look at it
		s.fail(fmt.Sprintf("it was not ready within %v: %v", s.container().Ready.Timeout, err))
		return
	}
	s.set(func(status *Status) {
		status.State, status.Message = Ready, ""
		if status.ReadyAt.IsZero() {
			status.ReadyAt = time.Now()
		}
	})
	s.settle()
}

// ended decides what comes after a run that ended by itself; exit is nil when it could not even start, what says it in
// words.
func (s *service) ended(ran time.Duration, exit *Exit, what string) (time.Duration, bool) {
	failed := exit == nil || !exit.OK()
	delay, again := s.backoff.next(ran, failed)
	wasReady := !s.get().ReadyAt.IsZero()
	state := Exited
	switch {
	case again:
		what = fmt.Sprintf("%s; starting again in %v", what, delay)
	case s.backoff.exhausted():
		state, what = Failed, fmt.Sprintf("%s, %d times in a row; given up", what, s.backoff.exits)
	case failed || !wasReady:
		state = Failed
	}
	s.set(func(status *Status) {
		status.State, status.Message, status.Instance = state, what, nil
		if exit != nil {
			status.Exit = exit
		}
		if wasReady && s.excused == 0 {
			status.ExitsSinceReady++
		}
		s.excused = 0
	})
	if state == Failed {
		s.settle()
	}
	return delay, again
}

// end stops a running instance: signal, wait, kill.
func (s *service) end(instance Instance) {
	stopInstance(instance, s.container().Stop)
	exit := instance.Exit()
	s.set(func(status *Status) {
		status.State, status.Exit, status.Instance = Stopped, &exit, nil
	})
}

// stopInstance asks an instance to end and kills it when it does not. It returns after its end, or gives up.
func stopInstance(instance Instance, stop hull.Stop) {
	instance.Signal(stop.Signal)
	if waitDone(instance, stop.Timeout) {
		return
	}
	instance.Kill()
	waitDone(instance, killTimeout)
}

func waitDone(instance Instance, timeout time.Duration) bool {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-instance.Done():
		return true
	case <-timer.C:
		return false
	}
}

// waitReady asks until the condition holds; the error is that of the last time.
func waitReady(parent context.Context, instance Instance, condition *hull.Ready) error {
	if condition == nil {
		timer := time.NewTimer(defaultReadyAfter)
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil
		case <-parent.Done():
			return parent.Err()
		}
	}
	limited, cancel := context.WithTimeout(parent, condition.Timeout)
	defer cancel()
	longest := maxPoll
	if len(condition.Exec) > 0 {
		longest = maxExecPoll
	}
	for poll := firstPoll; ; poll = min(poll*2, longest) {
		err := instance.Ready(limited, condition)
		if err == nil {
			return nil
		}
		timer := time.NewTimer(poll)
		select {
		case <-timer.C:
		case <-limited.Done():
			timer.Stop()
			return err
		}
	}
}
