package proc

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var reaper *Reaper

func TestMain(m *testing.M) {
	// as PID 1 would, this process inherits orphans (PR_SET_CHILD_SUBREAPER, include/uapi/linux/prctl.h)
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, 36, 1, 0); errno != 0 {
		fmt.Fprintln(os.Stderr, "prctl:", errno)
		os.Exit(1)
	}
	reaper = NewReaper()
	os.Exit(m.Run())
}

const long = 20 * time.Second

func shell(script string) []string { return []string{"/bin/sh", "-c", script} }

func TestRun(t *testing.T) {
	cases := []struct {
		script, output string
		exit           Exit
	}{
		{"echo out; echo err >&2; exit 7", "out\nerr\n", Exit{Code: 7}},
		{"exit 0", "", Exit{}},
		{"kill -TERM $$", "", Exit{Signal: 15}},
		{"cat", "", Exit{}}, // stdin is empty
	}
	for _, each := range cases {
		exit, output, err := reaper.Run(long, shell(each.script)...)
		if err != nil || exit != each.exit || output != each.output {
			t.Errorf("%s: %v, %q, %v", each.script, exit, output, err)
		}
	}
}

func TestRunBoundsTimeAndOutput(t *testing.T) {
	exit, _, err := reaper.Run(100*time.Millisecond, shell("exec sleep 100")...)
	if err == nil || !strings.Contains(err.Error(), "did not end within 100ms") || exit.Signal != 9 {
		t.Error(exit, err)
	}
	exit, output, err := reaper.Run(long, shell("yes | head -c 3000000")...)
	if err != nil || !exit.OK() || len(output) != maxOutput {
		t.Error(exit, len(output), err)
	}
	started := time.Now()
	// a grandchild that keeps the pipe open
	if exit, output, err = reaper.Run(long, shell("sleep 100 & echo $!")...); err != nil || !exit.OK() || time.Since(started) > 10*time.Second {
		t.Error(exit, err)
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(output)); err != nil || syscall.Kill(pid, syscall.SIGKILL) != nil {
		t.Error(output, err)
	}
	if _, _, err := reaper.Run(long, "/no/such/program"); err == nil {
		t.Error("a program that is not there ran")
	}
}

func TestManyAtOnceLoseNoExit(t *testing.T) {
	var group sync.WaitGroup
	for i := range 200 {
		group.Go(func() {
			exit, output, err := reaper.Run(long, shell(fmt.Sprintf("echo %d; exit %d", i, i%100))...)
			if err != nil || exit.Code != i%100 || output != fmt.Sprintln(i) {
				t.Error(i, exit, output, err)
			}
		})
	}
	group.Wait()
}

func TestSignal(t *testing.T) {
	process, err := reaper.Start(Command{Args: []string{"/bin/sleep", "100"}})
	if err != nil {
		t.Fatal(err)
	}
	if process.Wait(10 * time.Millisecond) {
		t.Error("it ended")
	}
	if err := process.Signal(syscall.SIGINT); err != nil {
		t.Error(err)
	}
	if !process.Wait(long) || process.Exit().Signal != 2 || process.Exit().String() != "was killed by SIGINT" {
		t.Error(process.Exit())
	}
	if err := process.Signal(syscall.SIGINT); err != os.ErrProcessDone {
		t.Error(err)
	}
}

// orphan starts a process whose parent ends at once, as a runtime's create does; script is run once that has happened.
func orphan(t *testing.T, script string) int {
	t.Helper()
	exit, output, err := reaper.Run(long, shell(`sh -c "while kill -0 $$; do :; done; `+script+`" >/dev/null 2>&1 & echo $!`)...)
	pid, err2 := strconv.Atoi(strings.TrimSpace(output))
	if err != nil || err2 != nil || !exit.OK() {
		t.Fatal(exit, output, err, err2)
	}
	return pid
}

func TestAdopt(t *testing.T) {
	defer reaper.Expect()()
	process := reaper.Adopt(orphan(t, "sleep 0.2; exit 5"))
	if !process.Wait(long) || process.Exit().Code != 5 {
		t.Error(process.Exit())
	}
}

func TestAdoptOneThatHasEnded(t *testing.T) {
	end := reaper.Expect()
	pid := orphan(t, "exit 6")
	for deadline := time.Now().Add(long); syscall.Kill(pid, 0) == nil && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	process := reaper.Adopt(pid)
	if !process.Wait(0) && !process.Wait(long) || process.Exit().Code != 6 {
		t.Error(process.Exit())
	}
	if process.Signal(syscall.SIGKILL) != os.ErrProcessDone {
		t.Error("a process that has ended got a signal")
	}
	orphan(t, "exit 0")
	end()
	reaper.mutex.Lock()
	defer reaper.mutex.Unlock()
	if len(reaper.unclaimed) != 0 {
		t.Error("exits that nobody can ask for any more are kept")
	}
}

func TestAdoptOneThatNobodyLeft(t *testing.T) {
	defer reaper.Expect()()
	exit, output, err := reaper.Run(long, shell("sleep 0 & echo $!; wait")...)
	pid, err2 := strconv.Atoi(strings.TrimSpace(output))
	if err != nil || err2 != nil || !exit.OK() {
		t.Fatal(exit, output, err, err2)
	}
	process := reaper.Adopt(pid)
	if !process.Wait(0) && !process.Wait(long) || process.Exit().OK() {
		t.Error("a process that is gone is taken for a living one, or for one that ended well:", process.Exit())
	}
}

func TestWaitAlone(t *testing.T) {
	orphan(t, "sleep 0.3")
	if reaper.WaitAlone(0) {
		t.Error("there is a child")
	}
	if !reaper.WaitAlone(long) {
		t.Error("there is no child any more")
	}
}
