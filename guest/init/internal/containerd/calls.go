package containerd

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"hullkit/guest/init/internal/json"
	"hullkit/guest/init/internal/report"
)

const (
	// far more than anything takes, even emulated on a busy host
	callTimeout = 120 * time.Second
	askTimeout  = 10 * time.Second
	// a wait lasts as long as the service runs
	forever = 100 * 365 * 24 * time.Hour
)

// Kinds of errors.
var (
	// ErrNotFound: containerd has no such task
	ErrNotFound = errors.New("not found")
	// ErrUnavailable: containerd or hull-service did not answer; the call may have had its effect or not
	ErrUnavailable = errors.New("unavailable")
)

// Version of containerd.
func (c *Containerd) Version() (string, error) {
	answer, err := c.call(askTimeout, "version")
	return answer.Get("version").Text(), err
}

// Create makes a task of a bundle that has not been started; what an earlier run of it left is taken away. output is a
// FIFO.
func (c *Containerd) Create(id, bundle, output string) (pid int, err error) {
	answer, err := c.call(callTimeout, "create", "id", id, "bundle", bundle, "output", output)
	if err != nil {
		return 0, err
	}
	if pid = answer.Get("pid").Int(2, 1<<30); pid == 0 {
		return 0, errors.New("hull-service named no process")
	}
	return pid, nil
}

// Start starts the program of a task. It is not tried twice: whether an interrupted one had its effect is not known.
func (c *Containerd) Start(id string) error {
	link, err := c.connected(time.Now().Add(callTimeout))
	if err != nil {
		return err
	}
	_, err = link.call(callTimeout, json.Object{"call", "start", "id", id})
	return err
}

// Kill sends a signal to the first process of a task.
func (c *Containerd) Kill(id string, signal syscall.Signal) error {
	_, err := c.call(askTimeout, "kill", "id", id, "signal", int(signal))
	return err
}

// Wait waits for the end of a task and returns its exit status: 128 and the signal's number if one ended it.
func (c *Containerd) Wait(id string) (code int, err error) {
	answer, err := c.call(forever, "wait", "id", id)
	return answer.Get("code").Int(0, 255), err
}

// Delete takes a task away. What it wrote has arrived when it returns.
func (c *Containerd) Delete(id string) error {
	_, err := c.call(callTimeout, "delete", "id", id)
	return err
}

// Tasks lists all tasks of the services.
func (c *Containerd) Tasks() ([]report.Task, error) {
	answer, err := c.call(askTimeout, "tasks")
	if err != nil {
		return nil, err
	}
	var tasks []report.Task
	for _, each := range answer.Get("tasks").Items() {
		task := report.Task{ID: each.Get("id").Text(), PID: each.Get("pid").Int(0, 1<<30), State: each.Get("state").Text()}
		tasks = append(tasks, task)
	}
	return tasks, nil
}

// failure makes an error of an answer, nil if it tells of none.
func failure(answer json.Field) error {
	text := answer.Get("error").Text()
	if text == "" {
		return nil
	}
	switch answer.Get("kind").Text() {
	case "not found":
		return fmt.Errorf("%w: %s", ErrNotFound, text)
	case "unavailable":
		return fmt.Errorf("%w: %s", ErrUnavailable, text)
	}
	return errors.New(text)
}
