package engine

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// rootVariable names a directory with the files of the components runc and containerd; the tests use it as a root and
// write to it. They need a real root user.
const rootVariable = "HULLKIT_CONTAINERD_ROOT"

// programVariable makes the test binary a program for containers: it holds what to do.
const programVariable = "ENGINE_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if what := os.Getenv(programVariable); what != "" {
		program(strings.Fields(what))
	}
	os.Exit(m.Run())
}

// program says something, and ends or waits as it is told: "exit CODE", "wait" (ends with 7 at SIGTERM).
func program(what []string) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	fmt.Println("out:", strings.Join(what, " "))
	fmt.Fprintln(os.Stderr, "err: as well")
	if what[0] == "exit" {
		code, _ := strconv.Atoi(what[1])
		os.Exit(code)
	}
	<-signals
	os.Exit(7)
}

// harness is a containerd in a root of its own, and a hull-service there that is asked as init asks it.
type harness struct {
	t      *testing.T
	root   string
	daemon *exec.Cmd
	log    *bytes.Buffer
	ended  chan struct{}
	// client speaks with hull-service; combined: with containerd, which is the same program
	client   *client
	combined bool
}

// start mounts what programs need in a namespace of its own and starts one of them in the root. Below the root, the root
// is at the same path again, so that paths mean the same inside and outside.
const start = `mount --make-rprivate / && mount --bind "$0" "$0" && mkdir -p "$0/$0" && mount --bind "$0" "$0/$0" && mount -t proc proc "$0/proc" &&
mount --rbind /sys "$0/sys" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$1"`

const (
	daemonProgram  = "/usr/bin/containerd"
	serviceProgram = "/usr/bin/hull-service"
)

func newHarness(t *testing.T) *harness {
	root := os.Getenv(rootVariable)
	if root == "" || os.Getuid() != 0 {
		t.Skip("needs root, and the files of runc and containerd in " + rootVariable)
	}
	for _, directory := range []string{"proc", "sys", "dev", "run", "var/lib", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, directory), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, directory := range []string{"run", "var/lib"} {
		os.RemoveAll(filepath.Join(root, directory, "containerd"))
	}

	h := &harness{t: t, root: root, combined: combined(root)}
	h.startDaemon()
	if !h.combined {
		h.startService()
	}
	t.Cleanup(h.end)
	if answer := h.ask(request{Call: "version", Seconds: 20}); answer.Error != "" || answer.Version == "" {
		t.Fatalf("containerd does not start: %+v", answer)
	}
	return h
}

func (h *harness) end() {
	for _, task := range h.ask(request{Call: "tasks", Seconds: 10}).Tasks {
		if answer := h.ask(request{Call: "delete", ID: task.ID}); answer.Error != "" {
			h.t.Errorf("%s: %+v", task.ID, answer)
		}
	}
	h.daemon.Process.Signal(syscall.SIGTERM)
	<-h.ended
	if h.t.Failed() {
		h.t.Log(h.log.String())
	}
}

// inRoot is a command that runs a program in the root.
func (h *harness) inRoot(program string) *exec.Cmd {
	command := exec.Command("unshare", "-m", "sh", "-c", start, h.root, program)
	command.WaitDelay = time.Second
	return command
}

// startLinked starts a command with a socket to it, and makes it the one that is asked.
func (h *harness) startLinked(command *exec.Cmd) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	theirs, ours := os.NewFile(uintptr(pair[0]), "theirs"), os.NewFile(uintptr(pair[1]), "ours")
	defer theirs.Close()
	command.ExtraFiles = []*os.File{theirs}
	h.client = newClient(ours)
	if err := command.Start(); err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) startService() {
	service := h.inRoot(serviceProgram)
	service.Stdout, service.Stderr = os.Stderr, os.Stderr
	h.startLinked(service)
	h.t.Cleanup(func() {
		service.Process.Kill()
		service.Wait()
	})
}

func (h *harness) startDaemon() {
	h.log = &bytes.Buffer{}
	h.daemon = h.inRoot(daemonProgram)
	h.daemon.Stdout, h.daemon.Stderr = h.log, h.log
	if h.combined {
		h.startLinked(h.daemon)
	} else if err := h.daemon.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.ended = make(chan struct{})
	go func() {
		h.daemon.Wait()
		close(h.ended)
	}()
}

// client asks as init does.
type client struct {
	connection io.ReadWriter
	mutex      sync.Mutex
	number     int
	pending    map[int]chan response
}

func newClient(connection io.ReadWriter) *client {
	c := &client{connection: connection, pending: map[int]chan response{}}
	go func() {
		for lines := bufio.NewScanner(connection); lines.Scan(); {
			var answer response
			json.Unmarshal(lines.Bytes(), &answer)
			c.mutex.Lock()
			if waiting := c.pending[answer.Number]; waiting != nil {
				waiting <- answer
			}
			c.mutex.Unlock()
		}
		c.mutex.Lock()
		for _, waiting := range c.pending {
			waiting <- response{Error: "hull-service is gone", Kind: "unavailable"}
		}
		c.pending = nil
		c.mutex.Unlock()
	}()
	return c
}

// ask makes a call and returns the answer.
func (h *harness) ask(asked request) response {
	c := h.client
	c.mutex.Lock()
	if c.pending == nil {
		c.mutex.Unlock()
		return response{Error: "hull-service is gone", Kind: "unavailable"}
	}
	c.number++
	asked.Number = c.number
	waiting := make(chan response, 2)
	c.pending[c.number] = waiting
	line, _ := json.Marshal(asked)
	c.connection.Write(append(line, '\n'))
	c.mutex.Unlock()
	select {
	case answer := <-waiting:
		return answer
	case <-time.After(60 * time.Second):
		return response{Error: "no answer"}
	}
}

func (h *harness) killDaemon() {
	h.daemon.Process.Kill()
	<-h.ended
}

// bundle makes a container whose program does what it is told; change may change its specification.
func (h *harness) bundle(name, what string, change func(spec map[string]any)) string {
	bundle := filepath.Join(h.root, "containers", name)
	rootfs := filepath.Join(bundle, "rootfs")
	for _, directory := range []string{"proc", "dev"} {
		if err := os.MkdirAll(filepath.Join(rootfs, directory), 0o755); err != nil {
			h.t.Fatal(err)
		}
	}
	copyFile(h.t, "/proc/self/exe", filepath.Join(rootfs, "program"))
	namespaces := []any{}
	for _, kind := range []string{"pid", "ipc", "uts", "mount"} {
		namespaces = append(namespaces, map[string]any{"type": kind})
	}
	spec := map[string]any{
		"ociVersion": "1.0.2",
		"process":    map[string]any{"args": []any{"/program"}, "cwd": "/", "env": []any{programVariable + "=" + what}},
		"root":       map[string]any{"path": "rootfs", "readonly": true},
		"mounts":     []any{map[string]any{"destination": "/proc", "type": "proc", "source": "proc"}},
		"linux":      map[string]any{"namespaces": namespaces},
	}
	if change != nil {
		change(spec)
	}
	data, err := json.Marshal(spec)
	if err == nil {
		err = os.WriteFile(filepath.Join(bundle, "config.json"), data, 0o644)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return bundle
}

func copyFile(t *testing.T, from, to string) {
	source, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	os.Remove(to)
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err == nil {
		_, err = io.Copy(target, source)
	}
	if err == nil {
		err = target.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// output is a FIFO, and what came out of it.
type output struct {
	path  string
	file  *os.File
	mutex sync.Mutex
	text  []byte
}

func (h *harness) output(name string) *output {
	o := &output{path: filepath.Join(h.root, "run", "output-"+name)}
	os.Remove(o.path)
	if err := syscall.Mkfifo(o.path, 0o600); err != nil {
		h.t.Fatal(err)
	}
	var err error
	if o.file, err = os.OpenFile(o.path, os.O_RDWR|syscall.O_NONBLOCK, 0); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { o.file.Close() })
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := o.file.Read(buffer)
			o.mutex.Lock()
			o.text = append(o.text, buffer[:n]...)
			o.mutex.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return o
}

func (o *output) String() string {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return string(o.text)
}

// must makes a call that has to succeed.
func (h *harness) must(asked request) response {
	h.t.Helper()
	answer := h.ask(asked)
	if answer.Error != "" {
		h.t.Fatalf("%+v: %+v", asked, answer)
	}
	return answer
}

// create makes and starts a task.
func (h *harness) create(name, what string) (pid int, out *output) {
	h.t.Helper()
	out = h.output(name)
	pid = h.must(request{Call: "create", ID: name, Bundle: h.bundle(name, what, nil), Output: out.path}).PID
	h.must(request{Call: "start", ID: name})
	return pid, out
}

func alive(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(status), ") Z ")
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within 20 s: " + what)
		}
	}
}

// combined tells whether containerd and hull-service are one program.
func combined(root string) bool {
	daemon, err := os.Stat(filepath.Join(root, "usr/bin/containerd"))
	service, err2 := os.Stat(filepath.Join(root, "usr/bin/hull-service"))
	return err == nil && err2 == nil && os.SameFile(daemon, service)
}
