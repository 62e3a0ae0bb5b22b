package engine

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestATaskFromCreateToDelete(t *testing.T) {
	h := newHarness(t)
	if version, err := h.engine.Version(h.context()); err != nil || version == "" {
		t.Fatalf("%q, %v", version, err)
	}
	pid, out := h.create("one", "exit 3")
	if code, err := h.engine.Wait(h.context(), "one"); err != nil || code != 3 {
		t.Fatalf("%d, %v", code, err)
	}
	tasks, err := h.engine.Tasks(h.context())
	if err != nil || len(tasks) != 1 || tasks[0] != (Task{"one", pid, "stopped"}) {
		t.Errorf("%+v, %v", tasks, err)
	}
	if err := h.engine.Delete(h.context(), "one"); err != nil {
		t.Fatal(err)
	}
	// both streams, and at once: nothing comes after Delete
	if text := out.String(); !strings.Contains(text, "out: exit 3\n") || !strings.Contains(text, "err: as well\n") {
		t.Errorf("%q", text)
	}
	if tasks, err := h.engine.Tasks(h.context()); err != nil || len(tasks) != 0 {
		t.Errorf("%+v, %v", tasks, err)
	}
	if err := h.engine.Delete(h.context(), "one"); err != nil {
		t.Errorf("deleting what is not there: %v", err)
	}
}

func TestSignals(t *testing.T) {
	h := newHarness(t)
	for signal, code := range map[syscall.Signal]int{syscall.SIGTERM: 7, syscall.SIGKILL: 128 + 9} {
		_, out := h.create("two", "wait")
		eventually(t, "it runs", func() bool { return strings.Contains(out.String(), "out: wait") })
		if tasks, err := h.engine.Tasks(h.context()); err != nil || len(tasks) != 1 || tasks[0].State != "running" {
			t.Errorf("%+v, %v", tasks, err)
		}
		if err := h.engine.Kill(h.context(), "two", int(signal)); err != nil {
			t.Fatal(err)
		}
		if got, err := h.engine.Wait(h.context(), "two"); err != nil || got != code {
			t.Errorf("%v: %d, %v", signal, got, err)
		}
		if err := h.engine.Delete(h.context(), "two"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCreateReplacesWhatIsLeft(t *testing.T) {
	h := newHarness(t)
	first, _ := h.create("three", "wait")
	second, _ := h.create("three", "wait")
	if first == second || alive(first) || !alive(second) {
		t.Errorf("the first is process %d (alive: %v), the second %d (%v)", first, alive(first), second, alive(second))
	}
}

func TestTasksSurviveContainerd(t *testing.T) {
	h := newHarness(t)
	pid, out := h.create("four", "wait")
	eventually(t, "it runs", func() bool { return strings.Contains(out.String(), "out: wait") })
	broken := make(chan error, 1)
	go func() {
		_, err := h.engine.Wait(h.context(), "four")
		broken <- err
	}()
	time.Sleep(200 * time.Millisecond)
	h.killDaemon()
	if err := <-broken; status.Code(err) != codes.Unavailable {
		t.Errorf("waiting while containerd was killed: %v", err)
	}
	if !alive(pid) {
		t.Fatal("the task is gone")
	}
	h.startDaemon()
	// waits for containerd by itself
	tasks, err := h.engine.Tasks(h.context())
	if err != nil || len(tasks) != 1 || tasks[0] != (Task{"four", pid, "running"}) {
		t.Errorf("%+v, %v", tasks, err)
	}
	if err := h.engine.Kill(h.context(), "four", int(syscall.SIGTERM)); err != nil {
		t.Fatal(err)
	}
	if code, err := h.engine.Wait(h.context(), "four"); err != nil || code != 7 {
		t.Errorf("%d, %v", code, err)
	}
}

func TestAnExitWhileContainerdIsAwayIsNoticed(t *testing.T) {
	h := newHarness(t)
	pid, _ := h.create("five", "wait")
	h.killDaemon()
	// process ids are those of this process namespace
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has ended", func() bool { return !alive(pid) })
	h.startDaemon()
	// containerd throws away a shim without processes when it starts, with the exit status
	if code, err := h.engine.Wait(h.context(), "five"); (err != nil || code != 7) && status.Code(err) != codes.NotFound {
		t.Errorf("%d, %v", code, err)
	}
	if err := h.engine.Delete(h.context(), "five"); err != nil {
		t.Error(err)
	}
}

func TestTheEndOfAShimIsTheEndOfItsTask(t *testing.T) {
	h := newHarness(t)
	pid, _ := h.create("six", "wait")
	parent, err := exec.Command("ps", "-o", "ppid=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		t.Fatal(err)
	}
	shim, _ := strconv.Atoi(strings.TrimSpace(string(parent)))
	if name, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(shim), "comm")); !strings.HasPrefix(string(name), "containerd-shim") {
		t.Fatalf("the parent of %d is %d, %s", pid, shim, name)
	}
	if err := syscall.Kill(shim, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "containerd knows no task", func() bool {
		_, err := h.engine.Wait(h.context(), "six")
		return status.Code(err) == codes.NotFound
	})
	eventually(t, "nothing of it runs", func() bool { return !alive(pid) })
	_, out := h.create("six", "wait")
	eventually(t, "it runs again", func() bool { return strings.Contains(out.String(), "out: wait") })
}

func TestWhatCannotStartLeavesNothing(t *testing.T) {
	h := newHarness(t)
	out := h.output("seven")
	missing := h.bundle("seven", "wait", func(spec map[string]any) {
		spec["process"].(map[string]any)["args"] = []any{"/missing"}
	})
	_, err := h.engine.Create(h.context(), "seven", missing, out.path)
	if err == nil {
		err = h.engine.Start(h.context(), "seven")
		h.engine.Delete(h.context(), "seven")
	}
	if err == nil || !strings.Contains(err.Error(), "/missing") {
		t.Errorf("%v", err)
	}
	rootless := h.bundle("eight", "wait", func(spec map[string]any) {
		spec["root"].(map[string]any)["path"] = "nowhere"
	})
	if _, err := h.engine.Create(h.context(), "eight", rootless, out.path); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("%v", err)
	}
	if tasks, err := h.engine.Tasks(h.context()); err != nil || len(tasks) != 0 {
		t.Errorf("%+v, %v", tasks, err)
	}
	if _, err := h.engine.Create(h.context(), "nine", "/nowhere", out.path); !os.IsNotExist(err) {
		t.Errorf("%v", err)
	}
}

func TestWithoutContainerdACallEndsInTime(t *testing.T) {
	engine, err := Dial(filepath.Join(t.TempDir(), "socket"), Runtime{})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if _, err := engine.Version(ctx); status.Code(err) != codes.DeadlineExceeded {
		t.Error(err)
	}
}
