// Package checks proves that the system is what it promises to be.
package checks

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"hullkit/guest/init/internal/console"
	"hullkit/guest/init/internal/hull"
	"hullkit/guest/init/internal/report"
	"hullkit/guest/init/internal/supervise"
)

// Run runs the built-in checks and the system's own, one after another; each has a deadline of its own.
func Run(system *hull.System, onboot, services []supervise.Status) []report.Check {
	results := []report.Check{}
	add := func(name, culprit string, err error) {
		check := report.Check{Name: name, OK: err == nil}
		if err != nil {
			check.Culprit, check.Message = culprit, console.Clean(err.Error(), 500)
		}
		results = append(results, check)
	}
	for _, status := range onboot {
		add(status.Container.Name+" succeeded", status.Container.Name, succeeded(status))
	}
	for _, status := range services {
		add(status.Container.Name+" runs", status.Container.Name, runs(status))
	}
	if system.Expect.Address {
		add("an interface has an address", addressCulprit(system), hasAddress())
	}
	add("the root cannot be written", "root", refusesWrites("/", []string{"/", "/etc", "/usr"}))
	for _, status := range services {
		if status.Container.Readonly && status.Instance != nil {
			root := fmt.Sprintf("/proc/%d/root", status.Instance.PID())
			add(status.Container.Name+" cannot write its root", status.Container.Name,
				refusesWrites(root, []string{"/", "/etc", "/usr"}))
		}
	}
	for _, check := range system.Checks {
		culprit, err := custom(check, services)
		add(check.Name, culprit, err)
	}
	return results
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

func custom(check hull.Check, services []supervise.Status) (culprit string, err error) {
	timeout := check.Timeout.Duration()
	if check.HTTP != nil {
		return portCulprit(check, services), checkHTTP(check.HTTP, time.Now().Add(timeout))
	}
	for _, status := range services {
		if status.Container.Name == check.Exec.Container {
			return status.Container.Name, checkExec(check.Exec, status.Instance, timeout)
		}
	}
	return check.Name, fmt.Errorf("there is no service %s", check.Exec.Container)
}

// portCulprit names the service that promises to listen on the port, if one does.
func portCulprit(check hull.Check, services []supervise.Status) string {
	for _, status := range services {
		if ready := status.Container.Ready; ready != nil && ready.TCP == check.HTTP.Port {
			return status.Container.Name
		}
	}
	return check.Name
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
