// Package checks proves that the system is what it promises to be.
package checks

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"hullkit/guest/init/internal/console"
	"hullkit/guest/init/internal/hull"
	"hullkit/guest/init/internal/report"
	"hullkit/guest/init/internal/supervise"
)

// test is one check that has not been run: who is to blame, and what to find out.
type test struct {
	name, culprit string
	run           func() error
}

// parallel checks at a time: each may start a program.
const parallel = 4

// Target is what is checked: Live as it changes, the statuses as they were before.
type Target struct {
	System           *hull.System
	Onboot, Services []supervise.Status
	Live             Services
	// Tasks of containerd, when it runs the services; else nil
	Tasks func() ([]report.Task, error)
}

// Run runs the built-in checks and the system's own, a few at a time; each has a deadline of its own. Those that break
// something come after all others, one by one.
func Run(target Target) []report.Check {
	tests := builtin(target)
	var breaking []test
	for _, check := range target.System.Checks {
		if check.Kill != "" {
			breaking = append(breaking, test{check.Name, check.Kill, func() error { return checkKill(check, target.Live) }})
		} else {
			tests = append(tests, custom(check, target.Services))
		}
	}
	results := together(tests)
	for _, each := range breaking {
		results = append(results, each.result())
	}
	return results
}

// together runs tests a few at a time.
func together(tests []test) []report.Check {
	results := make([]report.Check, len(tests))
	slots := make(chan struct{}, parallel)
	var group sync.WaitGroup
	for i, each := range tests {
		slots <- struct{}{}
		group.Go(func() {
			results[i] = each.result()
			<-slots
		})
	}
	group.Wait()
	return results
}

func (t test) result() report.Check {
	if err := t.run(); err != nil {
		return report.Check{Name: t.name, Culprit: t.culprit, Message: console.Clean(err.Error(), 500)}
	}
	return report.Check{Name: t.name, OK: true}
}

// builtin lists what every system must hold.
func builtin(target Target) []test {
	system, onboot, services := target.System, target.Onboot, target.Services
	var tests []test
	add := func(name, culprit string, run func() error) { tests = append(tests, test{name, culprit, run}) }
	for _, status := range onboot {
		add(status.Container.Name+" succeeded", status.Container.Name, func() error { return succeeded(status) })
	}
	for _, status := range services {
		add(status.Container.Name+" runs", status.Container.Name, func() error { return runs(status) })
	}
	if target.Tasks != nil {
		add("containerd runs the services", hull.Containerd, func() error { return areTasks(target.Tasks, services) })
	}
	if system.ExpectAddress {
		add("an interface has an address", addressCulprit(system), hasAddress)
	}
	directories := []string{"/", "/etc", "/usr"}
	add("the root cannot be written", "root", func() error { return refusesWrites("/", directories) })
	for _, status := range services {
		if status.Container.Readonly && status.Instance != nil {
			add(status.Container.Name+" cannot write its root", status.Container.Name, func() error {
				return refusesWrites(fmt.Sprintf("/proc/%d/root", status.Instance.PID()), directories)
			})
		}
	}
	return tests
}

func succeeded(status supervise.Status) error {
	switch {
	case status.State == supervise.Exited:
		return nil
	case status.Message != "":
		return errors.New(status.Message)
	}
	return fmt.Errorf("it is %s", status.State)
}

func runs(status supervise.Status) error {
	switch {
	case status.Instance == nil || status.State != supervise.Ready:
		if status.Message != "" {
			return fmt.Errorf("it is %s: %s", status.State, status.Message)
		}
		return fmt.Errorf("it is %s", status.State)
	case status.ExitsSinceReady > 0:
		return fmt.Errorf("it %v after it had been ready (%d restarts)", status.Exit, status.Restarts)
	}
	return nil
}

// areTasks asks containerd whether each service that runs is a task of its.
func areTasks(list func() ([]report.Task, error), services []supervise.Status) error {
	tasks, err := list()
	if err != nil {
		return err
	}
	running := map[string]int{}
	for _, task := range tasks {
		if task.State == "running" {
			running[task.ID] = task.PID
		}
	}
	for _, status := range services {
		if status.Instance != nil && running[status.Container.ID] != status.Instance.PID() {
			return fmt.Errorf("process %d of %s is no running task", status.Instance.PID(), status.Container.Name)
		}
	}
	return nil
}

// addressCulprit names the service that promises an address, if one does.
func addressCulprit(system *hull.System) string {
	for _, service := range system.Services {
		if service.Ready != nil && service.Ready.Address != "" {
			return service.Name
		}
	}
	return "network"
}

func hasAddress() error {
	for _, address := range report.Addresses() {
		if strings.Contains(address, ".") {
			return nil
		}
	}
	return errors.New("no interface but loopback has an IPv4 address")
}

func custom(check hull.Check, services []supervise.Status) test {
	timeout := check.Timeout
	if check.HTTP != nil {
		server := listening(check.HTTP.Port, services)
		if server == nil {
			return test{check.Name, check.Name, func() error { return checkHTTP(check.HTTP, time.Now().Add(timeout)) }}
		}
		return test{check.Name, server.Container.Name, func() error {
			if server.Instance == nil {
				return fmt.Errorf("%s does not run", server.Container.Name)
			}
			return checkHTTP(check.HTTP, time.Now().Add(timeout))
		}}
	}
	for _, status := range services {
		if status.Container.Name == check.Exec.Container {
			return test{check.Name, status.Container.Name, func() error {
				return checkExec(check.Exec, status.Instance, timeout)
			}}
		}
	}
	// before the services have started, there is none to ask
	return test{check.Name, check.Exec.Container, func() error { return errors.New("it has not been started yet") }}
}

// listening finds the service that promises to listen on a port; nil if none does.
func listening(port int, services []supervise.Status) *supervise.Status {
	for i := range services {
		if ready := services[i].Container.Ready; ready != nil && ready.TCP == port {
			return &services[i]
		}
	}
	return nil
}

func checkExec(check *hull.ExecCheck, instance supervise.Instance, timeout time.Duration) error {
	if instance == nil {
		return errors.New("the container does not run")
	}
	exit, output, err := instance.Exec(timeout, check.Command)
	if err != nil {
		return err
	}
	command := strings.Join(check.Command, " ")
	if exit.Signal != 0 || exit.Code != check.Exit {
		return fmt.Errorf("%s %v instead of %d: %s", command, exit, check.Exit, strings.TrimSpace(output))
	}
	if !strings.Contains(output, check.Contains) {
		return fmt.Errorf("%s: the output does not contain %q", command, check.Contains)
	}
	return nil
}
