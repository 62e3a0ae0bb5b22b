package supervise

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hullkit/guest/init/internal/hull"
	"hullkit/guest/init/internal/proc"
)

// fakeRuntime stands for what is below Runtime; the time of a test is that of its synctest bubble.
type fakeRuntime struct {
	t     *testing.T
	begin time.Time
	plans map[string]*plan

	mutex sync.Mutex
	log   []string
}

// plan says how the runs of a container go.
type plan struct {
	// runs ends each run after a time by itself; 0: it goes on for ever. After the last one comes the last one.
	runs []run
	// readyAfter is when its condition begins to hold
	readyAfter time.Duration
	// cleanup is how long it takes from the end of its process to that of all of it
	cleanup time.Duration
	// stops: how long it takes to end after the signal; negative: it does not
	stops time.Duration

	started int
}

type run struct {
	lasts time.Duration
	exit  Exit
	err   error
}

func newRuntime(t *testing.T, plans map[string]*plan) *fakeRuntime {
	return &fakeRuntime{t: t, begin: time.Now(), plans: plans}
}

// note writes down what happened when.
func (f *fakeRuntime) note(format string, arguments ...any) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.log = append(f.log, fmt.Sprintf("%v ", time.Since(f.begin))+fmt.Sprintf(format, arguments...))
}

// changed is a notify function that writes down some of the states.
func (f *fakeRuntime) changed(states ...State) func(Status) {
	return func(status Status) {
		if slices.Contains(states, status.State) {
			f.note("%s %s", status.Container.Name, status.State)
		}
	}
}

func (f *fakeRuntime) Start(container *hull.Container) (Instance, error) {
	plan := f.plans[container.Name]
	if plan == nil {
		plan = &fakePlan
	}
	f.mutex.Lock()
	this := run{}
	if len(plan.runs) > 0 {
		this = plan.runs[min(plan.started, len(plan.runs)-1)]
	}
	plan.started++
	f.mutex.Unlock()
	if this.err != nil {
		return nil, this.err
	}
	instance := &fakeInstance{runtime: f, plan: plan, name: container.Name, began: time.Now(), done: make(chan struct{})}
	if this.lasts > 0 {
		time.AfterFunc(this.lasts, func() { instance.end(this.exit) })
	}
	return instance, nil
}

var fakePlan plan

func (f *fakeRuntime) Tail(*hull.Container) []string     { return nil }
func (f *fakeRuntime) Release(container *hull.Container) { f.note("%s released", container.Name) }

type fakeInstance struct {
	runtime *fakeRuntime
	plan    *plan
	name    string
	began   time.Time
	once    sync.Once
	exited  atomic.Bool
	done    chan struct{}
	exit    Exit
}

func (i *fakeInstance) end(exit Exit) {
	i.once.Do(func() {
		i.exit = exit
		i.exited.Store(true)
		time.Sleep(i.plan.cleanup)
		close(i.done)
	})
}

func (i *fakeInstance) Exited() bool { return i.exited.Load() }

func (i *fakeInstance) Done() <-chan struct{} { return i.done }
func (i *fakeInstance) Exit() Exit            { return i.exit }
func (i *fakeInstance) PID() int              { return 1000 }
func (i *fakeInstance) Cgroup() string        { return "" }

func (i *fakeInstance) Signal(signal syscall.Signal) error {
	i.runtime.note("%s gets %s", i.name, hull.SignalName(int(signal)))
	if i.plan.stops >= 0 {
		time.AfterFunc(i.plan.stops, func() { i.end(Exit{}) })
	}
	return nil
}

func (i *fakeInstance) Kill() error {
	i.runtime.note("%s is killed", i.name)
	i.end(Exit{Exit: proc.Exit{Signal: 9}})
	return nil
}

func (i *fakeInstance) Ready(_ context.Context, _ *hull.Ready) error {
	if time.Since(i.began) < i.plan.readyAfter {
		return errors.New("not yet")
	}
	return nil
}

func (i *fakeInstance) Exec(time.Duration, []string) (proc.Exit, string, error) {
	return proc.Exit{}, "", nil
}

// container makes a container as hull.json would.
func container(name string, change ...func(*hull.Container)) *hull.Container {
	made := &hull.Container{
		Kind: hull.Service, Name: name, ID: name,
		Restart: hull.Restart{Policy: hull.RestartNo},
		Stop:    hull.Stop{Signal: syscall.SIGTERM, Timeout: 10 * time.Second},
	}
	for _, each := range change {
		each(made)
	}
	return made
}

func after(names ...string) func(*hull.Container) {
	return func(c *hull.Container) { c.After = names }
}

func requires(names ...string) func(*hull.Container) {
	return func(c *hull.Container) { c.Requires = names }
}

func restarts(policy string, delay time.Duration, limit int) func(*hull.Container) {
	return func(c *hull.Container) { c.Restart = hull.Restart{Policy: policy, Delay: delay, Limit: limit} }
}

func readyWithin(timeout time.Duration) func(*hull.Container) {
	return func(c *hull.Container) { c.Ready = &hull.Ready{TCP: 80, Timeout: timeout} }
}
