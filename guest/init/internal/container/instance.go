package container

import (
	"syscall"
	"time"

	"hullkit/guest/init/internal/proc"
)

// lastOutput is how long to wait for it after the end of a container.
const lastOutput = time.Second

// instance is one run of a container whose first process is a child of init.
type instance struct {
	run
	direct  *Direct
	process *proc.Process
}

// Exited tells whether the first process has ended.
func (i *instance) Exited() bool {
	select {
	case <-i.process.Done():
		return true
	default:
		return false
	}
}

// Signal sends a signal; one that would be lost on the process kills it instead.
func (i *instance) Signal(signal syscall.Signal) error {
	if wouldIgnore(i.pid, int(signal)) {
		return i.Kill()
	}
	return i.process.Signal(signal)
}

// Kill kills every process of the container; one that shares the process namespace of init has only its cgroup in common.
func (i *instance) Kill() error {
	if i.killCgroup() {
		return nil
	}
	return i.process.Signal(syscall.SIGKILL)
}

// watch waits for the end of the first process, and takes the rest away.
func (i *instance) watch() {
	<-i.process.Done()
	i.exit.Exit = i.process.Exit()
	i.explain()
	i.abandon()
	close(i.done)
}

// abandon takes away what the runtime kept, and kills what is left in the container's cgroup.
func (i *instance) abandon() {
	i.direct.command("delete", "--force", i.container.ID)
	i.finishOutput(lastOutput)
}
