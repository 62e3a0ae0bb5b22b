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

// instance is one run of a container.
type instance struct {
	direct    *Direct
	container *hull.Container
	process   *proc.Process
	cgroup    string
	output    *os.File
	drained   chan struct{}
	done      chan struct{}
	exit      supervise.Exit
}

func (i *instance) PID() int              { return i.process.PID }
func (i *instance) Done() <-chan struct{} { return i.done }

// Exit of an instance that could not even be killed is that of the signal it ignores.
func (i *instance) Exit() supervise.Exit {
	select {
	case <-i.done:
		return i.exit
	default:
		return supervise.Exit{Exit: proc.Exit{Signal: int(syscall.SIGKILL)}}
	}
}

// Cgroup is the directory of the container's cgroup; "" when it has none of its own.
func (i *instance) Cgroup() string { return i.cgroup }

// Exec runs a command in the container.
func (i *instance) Exec(timeout time.Duration, command []string) (proc.Exit, string, error) {
	return i.direct.reaper.Run(timeout, append([]string{i.direct.program, "exec", i.container.ID}, command...)...)
}

// Signal sends a signal; one that would be lost on the process kills it instead.
func (i *instance) Signal(signal syscall.Signal) error {
	if wouldIgnore(i.process.PID, int(signal)) {
		return i.Kill()
	}
	return i.process.Signal(signal)
}

// Kill kills every process of the container; one that shares the process namespace of init has only its cgroup in common.
func (i *instance) Kill() error {
	if i.cgroup != "" {
		if os.WriteFile(filepath.Join(i.cgroup, "cgroup.kill"), []byte("1"), 0) == nil {
			return nil
		}
	}
	return i.process.Signal(syscall.SIGKILL)
}

func (i *instance) drain(log *logs.Log) {
	// io.Copy would keep eight times as much for each container
	io.CopyBuffer(log, struct{ io.Reader }{i.output}, make([]byte, 4096))
	log.Flush()
	close(i.drained)
}

// finishOutput waits for the last output; a process that outlived the container must not hold it up.
func (i *instance) finishOutput() {
	i.output.SetReadDeadline(time.Now().Add(time.Second))
	<-i.drained
	i.output.Close()
}

// watch waits for the end of the first process, and takes the rest away.
func (i *instance) watch() {
	<-i.process.Done()
	i.exit.Exit = i.process.Exit()
	if i.exit.Signal != 0 && outOfMemory(i.cgroup) {
		i.exit.Reason = "out of memory"
	}
	// deletes what it kept, and kills what is left in the container's cgroup
	i.direct.command("delete", "--force", i.container.ID)
	i.finishOutput()
	close(i.done)
}

// abandon takes away what a failed start left.
func (i *instance) abandon() {
	i.direct.command("delete", "--force", i.container.ID)
	i.finishOutput()
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
func (i *instance) Ready(ctx context.Context, condition *hull.Ready) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(condition.Timeout)
	}
	switch {
	case condition.TCP != 0:
		return sys.InNetworkOf(i.process.PID, func() error {
			connection, err := sys.DialLocal(condition.TCP, deadline)
			if err == nil {
				connection.Close()
			}
			return err
		})
	case condition.File != "":
		return i.fileExists(condition.File)
	case len(condition.Exec) > 0:
		exit, output, err := i.Exec(time.Until(deadline), condition.Exec)
		if err == nil && !exit.OK() {
			err = fmt.Errorf("%s %v: %s", condition.Exec[0], exit, strings.TrimSpace(output))
		}
		return err
	default:
		return hasAddress(condition.Address == "ipv4")
	}
}

func (i *instance) fileExists(path string) error {
	root, err := sys.OpenPath(fmt.Sprintf("/proc/%d/root", i.process.PID))
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
