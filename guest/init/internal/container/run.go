package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"hullkit/guest/init/internal/hull"
	"hullkit/guest/init/internal/logs"
	"hullkit/guest/init/internal/proc"
	"hullkit/guest/init/internal/supervise"
	"hullkit/guest/init/internal/sys"
)

// run is one run of a container, whoever started it.
type run struct {
	container *hull.Container
	reaper    *proc.Reaper
	// runtime is the OCI runtime with the arguments that lead it to its state
	runtime []string
	pid     int
	cgroup  string
	output  *os.File
	drained chan struct{}
	done    chan struct{}
	exit    supervise.Exit
}

func newRun(container *hull.Container, reaper *proc.Reaper, runtime []string, output *os.File) run {
	return run{
		container: container, reaper: reaper, runtime: runtime, output: output,
		drained: make(chan struct{}), done: make(chan struct{}),
	}
}

func (r *run) PID() int              { return r.pid }
func (r *run) Done() <-chan struct{} { return r.done }

// Exit of a run that could not even be killed is that of the signal it ignores.
func (r *run) Exit() supervise.Exit {
	select {
	case <-r.done:
		return r.exit
	default:
		return supervise.Exit{Exit: proc.Exit{Signal: int(syscall.SIGKILL)}}
	}
}

// Cgroup is the directory of the container's cgroup; "" when it has none of its own.
func (r *run) Cgroup() string { return r.cgroup }

// Exec runs a command in the container.
func (r *run) Exec(timeout time.Duration, command []string) (proc.Exit, string, error) {
	args := append(append([]string(nil), r.runtime...), "exec", r.container.ID)
	return r.reaper.Run(timeout, append(args, command...)...)
}

// killCgroup kills every process of the container's cgroup, and tells whether it could.
func (r *run) killCgroup() bool {
	return r.cgroup != "" && os.WriteFile(filepath.Join(r.cgroup, "cgroup.kill"), []byte("1"), 0) == nil
}

func (r *run) drain(log *logs.Log) {
	// io.Copy would keep eight times as much for each container
	io.CopyBuffer(log, struct{ io.Reader }{r.output}, make([]byte, 4096))
	log.Flush()
	close(r.drained)
}

// finishOutput waits for the last output; a process that outlived the container must not hold it up.
func (r *run) finishOutput(patience time.Duration) {
	r.output.SetReadDeadline(time.Now().Add(patience))
	<-r.drained
	r.output.Close()
}

// explain says more about an exit than its number, if there is more; the cgroup must still be there.
func (r *run) explain() {
	if r.exit.Signal != 0 && outOfMemory(r.cgroup) {
		r.exit.Reason = "out of memory"
	}
}

// outOfMemory tells whether the kernel killed a process of the cgroup for its memory limit.
func outOfMemory(cgroup string) bool {
	data, err := os.ReadFile(filepath.Join(cgroup, "memory.events"))
	if cgroup == "" || err != nil {
		return false
	}
	for line := range strings.Lines(string(data)) {
		if count, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
			return count != "0"
		}
	}
	return false
}

// Ready asks once whether the condition holds.
func (r *run) Ready(ctx context.Context, condition *hull.Ready) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(condition.Timeout)
	}
	switch {
	case condition.TCP != 0:
		return sys.InNetworkOf(r.pid, func() error {
			connection, err := sys.DialLocal(condition.TCP, deadline)
			if err == nil {
				connection.Close()
			}
			return err
		})
	case condition.File != "":
		return r.fileExists(condition.File)
	case len(condition.Exec) > 0:
		exit, output, err := r.Exec(time.Until(deadline), condition.Exec)
		if err == nil && !exit.OK() {
			err = fmt.Errorf("%s %v: %s", condition.Exec[0], exit, strings.TrimSpace(output))
		}
		return err
	default:
		return hasAddress(condition.Address == "ipv4")
	}
}

func (r *run) fileExists(path string) error {
	root, err := sys.OpenPath(fmt.Sprintf("/proc/%d/root", r.pid))
	if err != nil {
		return err
	}
	defer root.Close()
	file, err := sys.OpenInRoot(root, strings.TrimPrefix(path, "/"), sys.OPath, 0)
	if err != nil {
		return err
	}
	return file.Close()
}

func hasAddress(ipv4 bool) error {
	addresses, err := sys.Addresses()
	if err != nil {
		return err
	}
	for _, address := range addresses {
		if !address.Loopback && address.Global && address.IPv4() == ipv4 {
			return nil
		}
	}
	return errors.New("no interface has an address")
}
