package system

import (
	"os"
	"slices"
	"syscall"
	"time"

	"hullkit/guest/init/internal/console"
	"hullkit/guest/init/internal/control"
	"hullkit/guest/init/internal/supervise"
	"hullkit/guest/init/internal/sys"
)

const (
	lastTermination = 2 * time.Second
	lastFlush       = 2 * time.Second
)

// finish takes the system down and ends the machine.
func (s *System) finish(how action) {
	word := map[action]string{powerOff: "power off", restart: "restart"}[how]
	s.console.Say("%s", word)
	s.mutex.Lock()
	close(s.stopping)
	group := s.group
	s.mutex.Unlock()
	if group != nil {
		group.Stop()
	}
	supervise.RunOnce(s.runtime, s.hull.Onshutdown, s.changed, nil)
	killRest()
	s.channel.Flush(lastFlush)
	unmountAll()
	syscall.Sync()
	s.end(how)
}

func (s *System) end(how action) {
	command := syscall.LINUX_REBOOT_CMD_POWER_OFF
	if how == restart {
		command = syscall.LINUX_REBOOT_CMD_RESTART
	}
	err := syscall.Reboot(command)
	s.console.Say("the machine does not end: %v", err)
	for {
		syscall.Pause()
	}
}

// killRest ends every process but this one: first it asks, then it does not.
func killRest() {
	syscall.Kill(-1, syscall.SIGTERM)
	if waitForNobody(lastTermination) {
		return
	}
	syscall.Kill(-1, syscall.SIGKILL)
	waitForNobody(lastTermination)
}

// waitForNobody tells whether all other processes have ended in time; kill(-1, 0) finds none then (kill(2)).
func waitForNobody(timeout time.Duration) bool {
	for deadline := time.Now().Add(timeout); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if syscall.Kill(-1, 0) == syscall.ESRCH {
			return true
		}
	}
	return false
}

// unmountAll unmounts what can be, the latest first; what is busy becomes read-only, so that it is clean on disk.
func unmountAll() {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return
	}
	keep := []string{"/", "/proc", "/dev", "/sys"}
	for _, each := range slices.Backward(sys.ParseMountInfo(string(text))) {
		if slices.Contains(keep, each.Path) {
			continue
		}
		if syscall.Unmount(each.Path, 0) != nil {
			syscall.Mount("", each.Path, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
		}
	}
}

// fatal ends a boot that cannot go on.
func (s *System) fatal(err error) {
	message := console.Clean(err.Error(), 1000)
	s.console.Print(
		"",
		"hullkit: FATAL: "+message,
		"hullkit: the system cannot start; power off",
		"",
	)
	s.channel.Send(control.Fatal{Event: "fatal", Message: message})
	if s.channel.Open() {
		s.channel.Flush(lastFlush)
	} else {
		// a person may be reading
		time.Sleep(5 * time.Second)
	}
	syscall.Sync()
	s.end(powerOff)
}
