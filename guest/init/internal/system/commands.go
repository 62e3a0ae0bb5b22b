package system

import (
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"hullkit/guest/init/internal/checks"
	"hullkit/guest/init/internal/containerd"
	"hullkit/guest/init/internal/control"
	"hullkit/guest/init/internal/hull"
	"hullkit/guest/init/internal/report"
	"hullkit/guest/init/internal/supervise"
	"hullkit/guest/init/internal/sys"
)

// action is how the machine ends.
type action int

const (
	powerOff action = iota
	restart
)

// signals that programs send to the first process: busybox's poweroff, halt and reboot; Ctrl-Alt-Del is SIGINT.
var signalActions = map[os.Signal]action{
	syscall.SIGUSR1: powerOff, syscall.SIGUSR2: powerOff, syscall.SIGTERM: restart, syscall.SIGINT: restart,
	syscall.SIGPWR: powerOff,
}

// deadly are signals that end a Go program by default, and with the first process the machine, when another process sends
// them (runtime/sigtab_linux_generic.go). Any program with uid 0 that sees PID 1 can do so, without a capability.
var deadly = []os.Signal{
	syscall.SIGQUIT, syscall.SIGILL, syscall.SIGTRAP, syscall.SIGABRT, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGSEGV,
	syscall.SIGSTKFLT, syscall.SIGSYS,
}

// surviveSignals takes the deadly ones and drops them: ignored ones (SIG_IGN) would stay ignored in every child.
func surviveSignals() {
	signal.Notify(make(chan os.Signal, 1), deadly...)
}

func (s *System) handleSignals() {
	surviveSignals()
	syscall.Reboot(syscall.LINUX_REBOOT_CMD_CAD_OFF)
	received := make(chan os.Signal, 4)
	for number := range signalActions {
		signal.Notify(received, number)
	}
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
	go func() {
		for number := range received {
			s.request(signalActions[number])
		}
	}()
}

// request asks for the end; the first one counts.
func (s *System) request(how action) {
	select {
	case s.shutdown <- how:
	default:
	}
}

// watchPowerButton: a virtual machine is asked to end by its host in this way.
func (s *System) watchPowerButton() {
	err := sys.WatchPowerButton(func() { s.request(powerOff) })
	s.console.Debug("power button: %v", err)
}

// command handles one from the host.
func (s *System) command(name string) {
	switch name {
	case "check":
		go s.check()
	case "poweroff":
		s.request(powerOff)
	case "reboot":
		s.request(restart)
	}
}

// check runs the checks and answers with the report; one at a time.
func (s *System) check() {
	s.checking.Lock()
	defer s.checking.Unlock()
	s.channel.Send(control.Report(s.report().JSON()))
	debug.FreeOSMemory()
}

// statuses of onboot containers and services; none before the root is there.
func (s *System) statuses() (onboot, services []supervise.Status) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.group == nil {
		return nil, nil
	}
	return s.onboot.Statuses(), s.group.Statuses()
}

func (s *System) report() report.Report {
	onboot, services := s.statuses()
	result := report.Report{
		Version:    report.Version,
		Kernel:     sys.Uname(),
		Init:       Version,
		Stages:     []report.Stage{},
		Containers: []report.Container{},
		Addresses:  report.Addresses(),
		Checks:     []report.Check{},
	}
	s.mutex.Lock()
	result.Up = s.up
	for _, each := range s.stages {
		result.Stages = append(result.Stages, report.Stage{Name: each.name, Seconds: each.seconds})
	}
	s.mutex.Unlock()
	if s.booting() {
		return result
	}
	result.Name, result.Runtime = s.hull.Name, s.runtime.Version()
	// memory before the checks, which run programs and read files
	result.Memory = report.ReadMemory()
	cgroups := map[string]string{}
	for _, status := range append(append([]supervise.Status(nil), onboot...), services...) {
		result.Containers = append(result.Containers, report.Describe(status, s.clock.at))
		if status.Instance != nil && status.Instance.Cgroup() != "" {
			cgroups[status.Instance.Cgroup()] = status.Container.Name
		}
	}
	result.Ports = report.Listening("/proc", cgroups)
	var usage report.Usage
	if s.containerd != nil {
		usage = report.ReadUsage(containerd.Cgroup)
	}
	result.Checks = checks.Run(s.target(onboot, services))
	s.update(&result)
	result.Supervisor = s.supervisor()
	result.Supervisor.Usage = usage
	return result
}

func (s *System) target(onboot, services []supervise.Status) checks.Target {
	target := checks.Target{System: s.hull, Onboot: onboot, Services: services, Live: s.group}
	if s.containerd != nil {
		target.Tasks = s.containerd.Tasks
	}
	return target
}

// update brings the services of a report up to date, for a check may have killed one; the memory is that before the
// checks.
func (s *System) update(result *report.Report) {
	onboot, services := s.statuses()
	for i, status := range append(onboot, services...) {
		usage := result.Containers[i].Usage
		result.Containers[i] = report.Describe(status, s.clock.at)
		result.Containers[i].Usage = usage
	}
}

// supervisor tells of what runs the services; what does not answer has no version.
func (s *System) supervisor() report.Supervisor {
	if s.containerd == nil {
		return report.Supervisor{Name: hull.Direct, Version: Version}
	}
	told := report.Supervisor{Name: hull.Containerd, Restarts: s.containerd.Restarts()}
	told.Version, _ = s.containerd.Version()
	told.Tasks, _ = s.containerd.Tasks()
	return told
}

// booting tells whether there are no containers to speak of yet.
func (s *System) booting() bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.group == nil
}
