// Package agent speaks for a system that hullkit did not build: it tells the host when that is up and answers with the
// same report as init, so that both are measured in the same way (docs/guest.md, "The agent").
package agent

import (
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"hullkit/guest/init/internal/boot"
	"hullkit/guest/init/internal/control"
	"hullkit/guest/init/internal/proc"
	"hullkit/guest/init/internal/report"
	"hullkit/guest/init/internal/sys"
)

// Version of the agent, for the report.
const Version = "1"

const (
	// patience with a port or an address that does not come
	patience = time.Minute
	pause    = 100 * time.Millisecond
	// longest that a program of the system is waited for, once it has booted
	longest = 30 * time.Second
)

// Agent is what the program knows.
type Agent struct {
	channel *control.Channel
	// systemd is nil in a system with another first process
	systemd  *systemd
	poweroff func()

	mutex  sync.Mutex
	stages []report.Stage
	up     bool

	checking sync.Mutex
}

// Run speaks for the system until the machine ends.
func Run() {
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
	agent := &Agent{systemd: findSystemd(proc.NewReaper()), poweroff: endMachine}
	if agent.systemd != nil {
		agent.poweroff = agent.systemd.poweroff
	}
	agent.channel = control.New(agent.command)
	options, _ := boot.ReadOptions()
	agent.channel.UseTerminal(options.Control)
	if !within(patience, agent.channel.Open) {
		os.Stderr.WriteString("hullkit's agent: the machine has no control channel\n")
		os.Exit(1)
	}
	agent.boot()
	select {}
}

// endMachine ends a machine whose first process is not known; what it writes is not kept anyway.
func endMachine() {
	syscall.Sync()
	syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
}

// within tries again and again until it is so, and tells whether it became so in time.
func within(limit time.Duration, isSo func() bool) bool {
	for started := time.Now(); time.Since(started) < limit; time.Sleep(pause) {
		if isSo() {
			return true
		}
	}
	return false
}

// boot tells of the boot: what has been when the agent starts, and when all is up.
func (a *Agent) boot() {
	if a.systemd == nil {
		a.stage("init", uptime())
	} else {
		begun := a.systemd.manager()
		a.stage("init", begun.seconds("UserspaceTimestampMonotonic"))
		a.stage("services", begun.seconds("UnitsLoadFinishTimestampMonotonic"))
		a.systemd.waitUntilBooted()
	}
	within(patience, hasAddress)
	a.stage("up", uptime())
	a.mutex.Lock()
	a.up = true
	a.mutex.Unlock()
	a.channel.Send(control.Up(uptime()))
	debug.SetGCPercent(20)
	debug.FreeOSMemory()
}

func (a *Agent) stage(name string, seconds float64) {
	a.mutex.Lock()
	a.stages = append(a.stages, report.Stage{Name: name, Seconds: seconds})
	a.mutex.Unlock()
	a.channel.Send(control.Stage(name, seconds))
}

// uptime is in seconds since the kernel started (proc_uptime(5)).
func uptime() float64 {
	text, _ := os.ReadFile("/proc/uptime")
	first, _, _ := strings.Cut(string(text), " ")
	seconds, _ := strconv.ParseFloat(first, 64)
	return seconds
}

func hasAddress() bool {
	found, _ := sys.Addresses()
	for _, address := range found {
		if address.Global && !address.Loopback && address.IPv4() {
			return true
		}
	}
	return false
}

// command handles one from the host.
func (a *Agent) command(name string) {
	switch name {
	case "check":
		go a.check()
	case "poweroff":
		go a.poweroff()
	}
}

func (a *Agent) check() {
	a.checking.Lock()
	defer a.checking.Unlock()
	a.channel.Send(control.Report(a.report().JSON()))
	debug.FreeOSMemory()
}

func (a *Agent) report() report.Report {
	name, _ := os.Hostname()
	result := report.Report{
		Version:    report.Version,
		Name:       name,
		Kernel:     sys.Uname(),
		Init:       "agent " + Version,
		Containers: []report.Container{},
		Addresses:  report.Addresses(),
		// memory before anything is asked of a program
		Memory: report.ReadMemory(),
		Checks: []report.Check{{Name: "an interface has an IPv4 address", Culprit: "network", OK: hasAddress()}},
	}
	a.mutex.Lock()
	result.Up, result.Stages = a.up, append([]report.Stage{}, a.stages...)
	a.mutex.Unlock()
	if a.systemd == nil {
		result.Ports = report.Listening("/proc", nil)
		return result
	}
	cgroups := findUnits(cgroupRoot)
	usages := map[string]report.Usage{}
	for directory, unit := range cgroups {
		usages[unit] = report.ReadUsage(directory)
	}
	result.Supervisor.Usage = report.ReadUsage(cgroupRoot + "/init.scope")
	result.Ports = report.Listening("/proc", cgroups)
	manager := a.systemd.manager()
	result.Supervisor.Name, result.Supervisor.Version = "systemd", manager["Version"]
	states := a.systemd.units()
	for directory, unit := range cgroups {
		described := describe(unit, states[unit])
		described.Usage = usages[unit]
		described.Rights = readRights("/proc", directory)
		result.Containers = append(result.Containers, described)
	}
	sortByName(result.Containers)
	result.Checks = append(result.Checks, unitChecks(manager, states)...)
	return result
}

// unitChecks: the boot has ended, and no unit has failed.
func unitChecks(manager properties, states map[string]properties) []report.Check {
	ended := manager["FinishTimestampMonotonic"] != "0" && manager["FinishTimestampMonotonic"] != ""
	checks := []report.Check{{Name: "systemd has ended the boot", Culprit: "systemd", OK: ended}}
	for _, unit := range sortedKeys(states) {
		if states[unit]["ActiveState"] == "failed" {
			message := fmt.Sprintf("the unit has failed: %s", states[unit]["Result"])
			checks = append(checks, report.Check{Name: "unit " + unit, Culprit: unit, Message: message})
		}
	}
	return checks
}
