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
	close(s.stopping)
	if <-s.onbootDone {
		s.group.Stop()
	}
	if s.containerd != nil {
		s.containerd.Stop()
	}
	supervise.NewSequence(s.runtime, s.hull.Onshutdown, s.changed).Run(nil)
	s.killRest()
	unmountAll()
	syscall.Sync()
	s.channel.Flush(lastFlush)
	s.console.Flush(lastFlush)
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
func (s *System) killRest() {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if s.reaper.WaitAlone(0) {
			return
		}
		syscall.Kill(-1, signal)
		s.reaper.WaitAlone(lastTermination)
	}
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
	s.console.Flush(lastFlush)
	s.channel.Send(control.Fatal(message))
	if s.channel.Open() {
		s.channel.Flush(lastFlush)
	} else {
		// a person may be reading
		time.Sleep(5 * time.Second)
	}
	syscall.Sync()
	s.end(powerOff)
}
