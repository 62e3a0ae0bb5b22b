package engine

import (
	"context"
	"net"
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

// only makes sure that containerd knows exactly one task.
func (h *harness) only(task Task) {
	h.t.Helper()
	if tasks := h.must(request{Call: "tasks"}).Tasks; len(tasks) != 1 || tasks[0] != task {
		h.t.Errorf("%+v instead of %+v", tasks, task)
	}
}

func TestATaskFromCreateToDelete(t *testing.T) {
	h := newHarness(t)
	pid, out := h.create("one", "exit 3")
	if code := h.must(request{Call: "wait", ID: "one"}).Code; code != 3 {
		t.Error(code)
	}
	h.only(Task{"one", pid, "stopped"})
	h.must(request{Call: "delete", ID: "one"})
	// nothing comes after delete
	if text := out.String(); !strings.Contains(text, "out: exit 3\n") || !strings.Contains(text, "err: as well\n") {
		t.Errorf("%q", text)
	}
	if tasks := h.must(request{Call: "tasks"}).Tasks; len(tasks) != 0 {
		t.Errorf("%+v", tasks)
	}
	h.must(request{Call: "delete", ID: "one"})
}

func TestSignals(t *testing.T) {
	h := newHarness(t)
	for signal, code := range map[syscall.Signal]int{syscall.SIGTERM: 7, syscall.SIGKILL: 128 + 9} {
		pid, out := h.create("two", "wait")
		eventually(t, "it runs", func() bool { return strings.Contains(out.String(), "out: wait") })
		h.only(Task{"two", pid, "running"})
		h.must(request{Call: "kill", ID: "two", Signal: int(signal)})
		if got := h.must(request{Call: "wait", ID: "two"}).Code; got != code {
			t.Errorf("%v: %d", signal, got)
		}
		h.must(request{Call: "delete", ID: "two"})
	}
}

func TestManyAtATime(t *testing.T) {
	h := newHarness(t)
	codes := make(chan int, 4)
	for i := range 4 {
		name := "many" + strconv.Itoa(i)
		go func() {
			out := h.output(name)
			h.ask(request{Call: "create", ID: name, Bundle: h.bundle(name, "exit "+strconv.Itoa(i), nil), Output: out.path})
			h.ask(request{Call: "start", ID: name})
			codes <- h.ask(request{Call: "wait", ID: name}).Code
		}()
	}
	sum := 0
	for range 4 {
		sum += <-codes
	}
	if sum != 0+1+2+3 {
		t.Error(sum)
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
	broken := make(chan response, 1)
	go func() { broken <- h.ask(request{Call: "wait", ID: "four"}) }()
	time.Sleep(200 * time.Millisecond)
	h.killDaemon()
	if answer := <-broken; answer.Kind != "unavailable" {
		t.Errorf("waiting while containerd was killed: %+v", answer)
	}
	if !alive(pid) {
		t.Fatal("the task is gone")
	}
	h.startDaemon()
	// waits for containerd by itself
	h.only(Task{"four", pid, "running"})
	h.must(request{Call: "kill", ID: "four", Signal: int(syscall.SIGTERM)})
	if code := h.must(request{Call: "wait", ID: "four"}).Code; code != 7 {
		t.Error(code)
	}
}

func TestAnExitWhileContainerdIsAwayIsNoticed(t *testing.T) {
	h := newHarness(t)
	pid, out := h.create("five", "wait")
	eventually(t, "it runs", func() bool { return strings.Contains(out.String(), "out: wait") })
	h.killDaemon()
	// process ids are those of this process namespace
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has ended", func() bool { return !alive(pid) })
	h.startDaemon()
	// containerd throws away a shim without processes when it starts, with the exit status
	if answer := h.ask(request{Call: "wait", ID: "five"}); (answer.Error != "" || answer.Code != 7) && answer.Kind != "not found" {
		t.Errorf("%+v", answer)
	}
	h.must(request{Call: "delete", ID: "five"})
}

// TestWhatContainerdFailedToCleanUpIsTakenAway: see sweep. A killed process that its shim has not waited for yet has no
// cgroup any more; one that left its cgroup looks the same.
func TestWhatContainerdFailedToCleanUpIsTakenAway(t *testing.T) {
	h := newHarness(t)
	pid, out := h.create("lost", "wait")
	eventually(t, "it runs", func() bool { return strings.Contains(out.String(), "out: wait") })
	h.killDaemon()
	leaveCgroups(t, pid)
	h.startDaemon()
	if answer := h.ask(request{Call: "wait", ID: "lost"}); answer.Kind != "not found" {
		t.Fatalf("%+v", answer)
	}
	if !alive(pid) {
		t.Fatal("containerd has cleaned up")
	}
	h.must(request{Call: "delete", ID: "lost"})
	again, out := h.create("lost", "wait")
	eventually(t, "it runs again", func() bool { return strings.Contains(out.String(), "out: wait") })
	if alive(pid) {
		t.Error("what was lost runs on")
	}
	h.only(Task{"lost", again, "running"})
	h.must(request{Call: "kill", ID: "lost", Signal: int(syscall.SIGTERM)})
	if code := h.must(request{Call: "wait", ID: "lost"}).Code; code != 7 {
		t.Error(code)
	}
	h.must(request{Call: "delete", ID: "lost"})
}

// leaveCgroups moves a process to the root of each hierarchy.
func leaveCgroups(t *testing.T, pid int) {
	roots, _ := filepath.Glob("/sys/fs/cgroup/*/cgroup.procs")
	if unified := "/sys/fs/cgroup/cgroup.procs"; exists(unified) {
		roots = []string{unified}
	}
	for _, root := range roots {
		file, err := os.OpenFile(root, os.O_WRONLY, 0)
		if err == nil {
			_, err = file.WriteString(strconv.Itoa(pid))
			file.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
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
	if line, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(shim), "cmdline")); !strings.Contains(string(line), "containerd-shim") {
		t.Fatalf("the parent of %d is %d, %s", pid, shim, line)
	}
	if err := syscall.Kill(shim, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "containerd knows no task", func() bool {
		return h.ask(request{Call: "wait", ID: "six"}).Kind == "not found"
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
	answer := h.ask(request{Call: "create", ID: "seven", Bundle: missing, Output: out.path})
	if answer.Error == "" {
		answer = h.ask(request{Call: "start", ID: "seven"})
		h.must(request{Call: "delete", ID: "seven"})
	}
	if !strings.Contains(answer.Error, "/missing") || answer.Kind != "" {
		t.Errorf("%+v", answer)
	}
	rootless := h.bundle("eight", "wait", func(spec map[string]any) {
		spec["root"].(map[string]any)["path"] = "nowhere"
	})
	if answer := h.ask(request{Call: "create", ID: "eight", Bundle: rootless, Output: out.path}); !strings.Contains(answer.Error, "nowhere") {
		t.Errorf("%+v", answer)
	}
	if answer := h.ask(request{Call: "create", ID: "nine", Bundle: "/nowhere", Output: out.path}); !strings.Contains(answer.Error, "/nowhere") {
		t.Errorf("%+v", answer)
	}
	if tasks := h.must(request{Call: "tasks"}).Tasks; len(tasks) != 0 {
		t.Errorf("%+v", tasks)
	}
}

func TestWhatIsAskedWrongly(t *testing.T) {
	h := newHarness(t)
	for _, call := range []string{"start", "kill", "wait"} {
		if answer := h.ask(request{Call: call, ID: "nobody", Signal: 9}); answer.Kind != "not found" {
			t.Errorf("%s: %+v", call, answer)
		}
	}
	if answer := h.ask(request{Call: "dance"}); !strings.Contains(answer.Error, "dance") {
		t.Errorf("%+v", answer)
	}
}

func TestNonsenseEndsTheConversation(t *testing.T) {
	ours, theirs := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- Serve(theirs, &Engine{}) }()
	ours.Write([]byte("hello\n"))
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "hello") {
		t.Error(err)
	}
}

func TestWithoutContainerdACallEndsInTime(t *testing.T) {
	engine, err := Dial(filepath.Join(t.TempDir(), "socket"), Runtime{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_, err = engine.Version(ctx)
	if status.Code(err) != codes.DeadlineExceeded {
		t.Error(err)
	}
	if text, kind := describe(err); kind != "unavailable" || !strings.Contains(text, "containerd does not answer") {
		t.Errorf("%s (%s)", text, kind)
	}
}
