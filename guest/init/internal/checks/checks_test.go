package checks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hullkit/guest/init/internal/hull"
	"hullkit/guest/init/internal/proc"
	"hullkit/guest/init/internal/report"
	"hullkit/guest/init/internal/supervise"
)

func port(server *httptest.Server) int { return server.Listener.Addr().(*net.TCPAddr).Port }

func TestHTTP(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "served by hull to %s %s", r.Host, r.UserAgent())
	})
	mux.HandleFunc("/empty", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.Repeat("x", 1<<20), "needle")
	})
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	server := httptest.NewServer(mux)
	defer server.Close()
	cases := []struct {
		check hull.HTTPCheck
		says  string
	}{
		{hull.HTTPCheck{Path: "/page", Status: 200}, ""},
		{hull.HTTPCheck{Path: "/page", Status: 200, Contains: "by hull to localhost hullkit"}, ""},
		{hull.HTTPCheck{Path: "/page", Status: 200, Contains: "nginx"}, `the body does not contain "nginx"`},
		{hull.HTTPCheck{Path: "/page", Status: 404}, "status 200 instead of 404"},
		{hull.HTTPCheck{Path: "/none", Status: 404}, ""},
		{hull.HTTPCheck{Path: "/none", Status: 200}, "status 404 instead of 200"},
		{hull.HTTPCheck{Path: "/empty", Status: 204}, ""},
		{hull.HTTPCheck{Path: "/large", Status: 200, Contains: "xneedle"}, ""},
		{hull.HTTPCheck{Path: "/slow", Status: 200}, "timeout"},
	}
	for _, each := range cases {
		each.check.Port = port(server)
		err := checkHTTP(&each.check, time.Now().Add(500*time.Millisecond))
		if each.says == "" && err != nil || each.says != "" && (err == nil || !strings.Contains(err.Error(), each.says)) {
			t.Errorf("%+v: %v", each.check, err)
		}
	}
}

func TestHTTPWaitsForTheServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	number := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	check := &hull.HTTPCheck{Port: number, Path: "/", Status: 200}
	if err := checkHTTP(check, time.Now().Add(300*time.Millisecond)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error("nobody listens:", err)
	}
	time.AfterFunc(300*time.Millisecond, func() {
		if listener, err := net.Listen("tcp", listener.Addr().String()); err == nil {
			go http.Serve(listener, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		}
	})
	if err := checkHTTP(check, time.Now().Add(10*time.Second)); err != nil {
		t.Error(err)
	}
}

func TestAnswersThatAreNotHTTP(t *testing.T) {
	for _, text := range []string{"", "SSH-2.0-OpenSSH\r\n", "HTTP/1.0\r\n", "HTTP/1.0 abc\r\n", "\r\n"} {
		if _, _, err := response(strings.NewReader(text)); err == nil {
			t.Errorf("%q was understood", text)
		}
	}
	status, body, err := response(strings.NewReader("HTTP/1.1 301 Moved\r\nLocation: /x\r\n\r\nbody"))
	if status != 301 || body != "body" || err != nil {
		t.Error(status, body, err)
	}
	if status, body, err := response(strings.NewReader("HTTP/1.1 200 OK\nA: b")); status != 200 || body != "" || err != nil {
		t.Error(status, body, err)
	}
	endless := strings.NewReader("HTTP/1.0 200 OK\r\n" + strings.Repeat("A: b\r\n", maxHead))
	if status, _, err := response(endless); status != 200 || err != nil {
		t.Error(status, err)
	}
}

// instance answers Exec; the rest is not asked.
type instance struct {
	supervise.Instance
	exit   proc.Exit
	output string
	err    error
}

func (i instance) Exec(time.Duration, []string) (proc.Exit, string, error) {
	return i.exit, i.output, i.err
}
func (i instance) Ready(context.Context, *hull.Ready) error { return nil }
func (i instance) PID() int                                 { return os.Getpid() }

func container(name string) *hull.Container { return &hull.Container{Name: name, Kind: hull.Service} }

func TestRun(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	web := container("web")
	web.Ready = &hull.Ready{TCP: port(server)}
	system := &hull.System{
		Services: []*hull.Container{web},
		Checks: []hull.Check{
			{Name: "page", HTTP: &hull.HTTPCheck{Port: port(server), Path: "/", Status: 200}, Timeout: time.Second},
			{Name: "not there", HTTP: &hull.HTTPCheck{Port: port(server), Path: "/", Status: 404}, Timeout: time.Second},
			{Name: "command", Exec: &hull.ExecCheck{Container: "web", Command: []string{"x", "y"}, Exit: 3, Contains: "out"}},
			{Name: "wrong exit", Exec: &hull.ExecCheck{Container: "web", Command: []string{"x", "y"}, Exit: 0}},
			{Name: "wrong output", Exec: &hull.ExecCheck{Container: "web", Command: []string{"x"}, Exit: 3, Contains: "other"}},
			{Name: "stopped", Exec: &hull.ExecCheck{Container: "crash", Command: []string{"x"}}},
			{Name: "later", Exec: &hull.ExecCheck{Container: "later", Command: []string{"x"}}},
		},
	}
	failed := &supervise.Exit{Exit: proc.Exit{Code: 7}}
	onboot := []supervise.Status{
		{Container: container("fine"), State: supervise.Exited},
		{Container: container("bad"), State: supervise.Failed, Message: "it exited with 2", Exit: failed},
		{Container: container("waits"), State: supervise.Waiting},
	}
	services := []supervise.Status{
		{Container: web, State: supervise.Ready, Instance: instance{exit: proc.Exit{Code: 3}, output: "output"}},
		{Container: container("crash"), State: supervise.Failed, Message: "it exited with 7", Exit: failed},
		{Container: container("again"), State: supervise.Ready, Instance: instance{}, ExitsSinceReady: 1, Restarts: 1, Exit: failed},
		{Container: container("starts"), State: supervise.Running, Instance: instance{}},
	}
	expected := map[string][2]string{
		"fine succeeded":  {},
		"bad succeeded":   {"bad", "it exited with 2"},
		"waits succeeded": {"waits", "it is waiting"},
		"web runs":        {},
		"crash runs":      {"crash", "it is failed: it exited with 7"},
		"again runs":      {"again", "it exited with 7 after it had been ready (1 restarts)"},
		"starts runs":     {"starts", "it is running"},
		"page":            {"web", fmt.Sprintf("port %d /: status 404 instead of 200", port(server))},
		"not there":       {},
		"command":         {},
		"wrong exit":      {"web", "x y exited with 3 instead of 0: output"},
		"wrong output":    {"web", `x: the output does not contain "other"`},
		"stopped":         {"crash", "the container does not run"},
		"later":           {"later", "it has not been started yet"},
	}
	count := 0
	for _, check := range Run(Target{System: system, Onboot: onboot, Services: services}) {
		outcome, known := expected[check.Name]
		if !known {
			if check.Name != "the root cannot be written" {
				t.Error("unexpected:", check)
			}
			continue
		}
		count++
		if check.OK != (outcome[0] == "") || check.Culprit != outcome[0] || check.Message != outcome[1] {
			t.Errorf("%+v", check)
		}
	}
	if count != len(expected) {
		t.Error(count, "checks")
	}
}

func TestAddressIsExpected(t *testing.T) {
	system := &hull.System{ExpectAddress: true, Services: []*hull.Container{container("web")}}
	tests := builtin(Target{System: system})
	if tests[0].name != "an interface has an address" || tests[0].culprit != "network" {
		t.Errorf("%+v", tests[0])
	}
	system.Services[0].Ready = &hull.Ready{Address: "ipv4"}
	if culprit := builtin(Target{System: system})[0].culprit; culprit != "web" {
		t.Error(culprit)
	}
}

const insideKey = "HULLKIT_TEST_INSIDE"

func TestMain(m *testing.M) {
	if directory := os.Getenv(insideKey); directory != "" {
		if err := insideMounts(directory); err != nil {
			fmt.Println("inside:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// insideMounts runs in a mount namespace of its own.
func insideMounts(root string) error {
	if err := errors.Join(
		syscall.Mount("", "/", "", syscall.MS_PRIVATE|syscall.MS_REC, ""),
		syscall.Mount("tmpfs", root, "tmpfs", 0, ""),
		os.Mkdir(filepath.Join(root, "etc"), 0o755),
		os.Mkdir(filepath.Join(root, "real"), 0o755),
		os.Symlink("/real", filepath.Join(root, "usr")),
	); err != nil {
		return err
	}
	directories := []string{"/", "/etc", "/usr", "/absent"}
	if err := refusesWrites(root, directories); err == nil || !strings.Contains(err.Error(), "a file could be made in /") {
		return fmt.Errorf("a root that can be written: %w", err)
	}
	if left, _ := filepath.Glob(filepath.Join(root, "*", ".hull*")); len(left) > 0 {
		return fmt.Errorf("left behind: %v", left)
	}
	if err := syscall.Mount("", root, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""); err != nil {
		return err
	}
	if err := refusesWrites(root, directories); err != nil {
		return fmt.Errorf("a read-only root: %w", err)
	}
	// what is mounted over a directory is no part of the root
	if err := syscall.Mount("tmpfs", filepath.Join(root, "etc"), "tmpfs", 0, ""); err != nil {
		return err
	}
	return refusesWrites(root, directories)
}

func TestRefusesWrites(t *testing.T) {
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), insideKey+"="+t.TempDir())
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	output, err := command.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) {
		t.Skip("no user namespaces here:", err)
	}
	if err != nil {
		t.Errorf("%v: %s", err, output)
	}
}

// live is a service that becomes what it is told after it was killed.
type live struct {
	status supervise.Status
	then   supervise.Status
}

func (l *live) Statuses() []supervise.Status { return []supervise.Status{l.status} }

func (l *live) Kill(string) error {
	l.status = l.then
	return nil
}

func TestKill(t *testing.T) {
	web := container("web")
	cases := []struct {
		before, then supervise.State
		restarts     int
		says         string
	}{
		{supervise.Ready, supervise.Ready, 1, ""},
		{supervise.Ready, supervise.Failed, 0, "it was killed, and is failed: given up"},
		{supervise.Ready, supervise.Running, 1, "it was killed, and is running after 100ms"},
		{supervise.Ready, supervise.Ready, 0, "it was killed, and is ready after 100ms"},
		{supervise.Exited, supervise.Ready, 1, "it is exited, not ready"},
	}
	for _, each := range cases {
		services := &live{
			status: supervise.Status{Container: web, State: each.before},
			then:   supervise.Status{Container: web, State: each.then, Restarts: each.restarts, Message: "given up"},
		}
		check := hull.Check{Name: "back", Kill: "web", Timeout: 100 * time.Millisecond}
		results := Run(Target{System: &hull.System{Checks: []hull.Check{check}}, Live: services})
		last := results[len(results)-1]
		if last.Name != "back" || last.OK != (each.says == "") || last.Message != each.says {
			t.Errorf("%+v: %+v", each, last)
		}
	}
	if err := checkKill(hull.Check{Kill: "other"}, &live{status: supervise.Status{Container: web}}); err == nil {
		t.Error("nobody was killed")
	}
}

func TestServicesAreTasks(t *testing.T) {
	web := container("web")
	web.ID = "web"
	services := []supervise.Status{
		{Container: web, State: supervise.Ready, Instance: instance{}},
		{Container: container("gone"), State: supervise.Exited},
	}
	own := os.Getpid()
	cases := []struct {
		tasks []report.Task
		err   error
		says  string
	}{
		{[]report.Task{{ID: "web", PID: own, State: "running"}, {ID: "more", PID: 5, State: "stopped"}}, nil, ""},
		{[]report.Task{{ID: "web", PID: own + 1, State: "running"}}, nil, "of web is no running task"},
		{[]report.Task{{ID: "web", PID: own, State: "stopped"}}, nil, "of web is no running task"},
		{nil, nil, "of web is no running task"},
		{nil, errors.New("no answer"), "no answer"},
	}
	for _, each := range cases {
		err := areTasks(func() ([]report.Task, error) { return each.tasks, each.err }, services)
		if each.says == "" && err != nil || each.says != "" && (err == nil || !strings.Contains(err.Error(), each.says)) {
			t.Errorf("%+v: %v", each, err)
		}
	}
}
