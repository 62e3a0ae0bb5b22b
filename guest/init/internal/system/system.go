// Package system is the life of a system from the first process to the last: boot, watch, shut down.
package system

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"hullkit/guest/init/internal/boot"
	"hullkit/guest/init/internal/console"
	"hullkit/guest/init/internal/container"
	"hullkit/guest/init/internal/containerd"
	"hullkit/guest/init/internal/control"
	"hullkit/guest/init/internal/hull"
	"hullkit/guest/init/internal/proc"
	"hullkit/guest/init/internal/supervise"
)

// Version of init, for the report.
const Version = "1"

const document = "/hull.json"

// System is what PID 1 knows.
type System struct {
	console *console.Console
	channel *control.Channel
	reaper  *proc.Reaper
	options boot.Options
	clock   clock

	hull    *hull.System
	runtime *container.Direct
	// containerd is nil unless it runs the services
	containerd *containerd.Containerd
	services   supervise.Runtime
	onboot     *supervise.Sequence
	group      *supervise.Group

	mutex  sync.Mutex
	stages []stage
	failed bool
	up     bool

	checking sync.Mutex
	shutdown chan action
	// stopping is closed when the shutdown begins
	stopping chan struct{}
	// onbootDone gets a value when the onboot containers have ended: whether services run now
	onbootDone chan bool
}

type stage struct {
	name    string
	seconds float64
}

// Run boots the system and returns never.
func Run() {
	// a supervisor that sleeps most of the time needs little
	runtime.GOMAXPROCS(min(runtime.NumCPU(), 2))
	s := &System{shutdown: make(chan action, 8), stopping: make(chan struct{}), onbootDone: make(chan bool, 1)}
	s.channel = control.New(s.command)
	early := boot.EarlyMounts()
	s.console = console.New(boot.OpenConsole(), false)
	s.clock = startClock()
	if early != nil {
		s.fatal(early)
	}
	s.options, _ = boot.ReadOptions()
	s.console.SetVerbose(s.options.Debug)
	s.channel.UseTerminal(s.options.Control)
	s.channel.Open()
	s.stage("init")
	s.reaper = proc.NewReaper()
	s.handleSignals()
	if err := s.boot(); err != nil {
		s.fatal(err)
	}
	go s.watchPort()
	go s.watchPowerButton()
	go s.runContainers()
	s.finish(<-s.shutdown)
}

// boot reads what to do and makes the root.
func (s *System) boot() (err error) {
	if s.hull, err = hull.Load(document); err != nil {
		return fmt.Errorf("%s, which ends the initramfs, cannot be used: %w (the initramfs is damaged, or memory is too small)", document, err)
	}
	s.stage("root")
	if s.hull.Layout == hull.Packed {
		err = boot.PackedRoot(s.hull, s.options)
	} else {
		err = boot.FlatRoot(s.options)
	}
	if err != nil {
		return fmt.Errorf("the root file system: %w", err)
	}
	s.trouble("mounts", boot.LateMounts())
	s.trouble("settings", boot.Settings(s.hull, s.options))
	s.stage("modules")
	s.trouble("kernel modules", s.loadModules())
	s.trouble("mounts", container.MountAll(s.hull.Mounts))
	s.channel.Open()
	if s.runtime, err = container.NewDirect(s.reaper, s.containerLine, s.console.Debug); err != nil {
		return err
	}
	if err := s.chooseSupervisor(); err != nil {
		return err
	}
	onboot := supervise.NewSequence(s.runtime, s.hull.Onboot, s.changed)
	group := supervise.NewGroup(s.services, s.hull.Services, s.changed)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.onboot, s.group = onboot, group
	return nil
}

// chooseSupervisor makes the runtime of the services. containerd starts while the onboot containers run.
func (s *System) chooseSupervisor() (err error) {
	s.services = s.runtime
	if s.hull.Supervisor != hull.Containerd {
		return nil
	}
	if s.containerd, err = containerd.Start(s.reaper, s.console.Say); err != nil {
		return err
	}
	s.services, err = container.NewTasks(s.containerd, s.reaper, s.containerLine)
	return err
}

// trouble shows what went wrong without ending the boot.
func (s *System) trouble(what string, err error) {
	if err != nil {
		s.console.Say("%s: %v", what, err)
	}
}

// watchPort waits for a control port that appears late (its driver may be a module, its name comes from the host).
func (s *System) watchPort() {
	const fast, slow, patience = 100 * time.Millisecond, time.Second, time.Minute
	for started := time.Now(); time.Since(started) < patience; {
		if s.channel.Open() {
			return
		}
		if time.Since(started) < 3*time.Second {
			time.Sleep(fast)
		} else {
			time.Sleep(slow)
		}
	}
}

func (s *System) stage(name string) {
	uptime := s.clock.uptime()
	s.mutex.Lock()
	s.stages = append(s.stages, stage{name, uptime})
	s.mutex.Unlock()
	s.console.Debug("%s (%.2f s)", name, uptime)
	s.channel.Send(control.Stage(name, uptime))
}

// runContainers runs what is to run, until the shutdown begins.
func (s *System) runContainers() {
	s.stage("onboot")
	s.onboot.Run(s.stopping)
	if s.isStopping() {
		s.onbootDone <- false
		return
	}
	s.stage("services")
	s.group.Start()
	s.onbootDone <- true
	s.group.Wait()
	if !s.isStopping() {
		s.settled()
	}
}

func (s *System) isStopping() bool {
	select {
	case <-s.stopping:
		return true
	default:
		return false
	}
}

// settled is called once nothing is awaited any more.
func (s *System) settled() {
	s.mutex.Lock()
	s.up = !s.failed
	up := s.up
	s.mutex.Unlock()
	if up {
		s.stage("up")
		s.channel.Send(control.Up(s.clock.uptime()))
	}
	s.console.Print(s.summary(up)...)
	// booting took more memory than watching does; a small heap is collected quickly
	debug.SetGCPercent(20)
	debug.FreeOSMemory()
}

// changed is told of every change of a container.
func (s *System) changed(status supervise.Status) {
	s.channel.Send(control.Container(status, s.clock.uptime()))
	s.console.Debug("%s: %s %s", status.Container.Name, status.State, status.Message)
	switch {
	case status.State == supervise.Failed:
		s.containerFailed(status)
	case status.State == supervise.Exited && status.Message != "" && status.Container.Kind == hull.Service:
		s.console.Say("%s: %s", status.Container.Name, console.Clean(status.Message, 300))
	}
}

func (s *System) containerFailed(status supervise.Status) {
	name := status.Container.Name
	lines := []string{"hullkit: " + name + " FAILED: " + console.Clean(status.Message, 300)}
	var runtime supervise.Runtime = s.runtime
	if status.Container.Kind == hull.Service {
		runtime = s.services
	}
	for _, line := range runtime.Tail(status.Container) {
		line = console.Clean(line, 300)
		lines = append(lines, "  | "+line)
		s.channel.Send(control.Log(name, line))
	}
	s.console.Print(lines...)
	s.mutex.Lock()
	booting := !s.up
	s.failed = true
	s.mutex.Unlock()
	if booting {
		s.channel.Send(control.Failed(name, status.Message))
	}
}

func (s *System) containerLine(container *hull.Container, line string) {
	s.console.Print(container.Name + ": " + console.Clean(line, 1000))
}
