package engine

import (
	"bytes"
	"context"
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

// harness is a containerd in a root of its own.
type harness struct {
	t      *testing.T
	root   string
	daemon *exec.Cmd
	engine *Engine
	ended  chan struct{}
}

// start mounts what programs need in a namespace of its own and starts containerd in the root. Below the root, the root
// is at the same path again, so that paths mean the same inside and outside.
const start = `mount --make-rprivate / && mount --bind "$0" "$0" && mkdir -p "$0/$0" && mount --bind "$0" "$0/$0" && mount -t proc proc "$0/proc" &&
mount --rbind /sys "$0/sys" && mount --rbind /dev "$0/dev" && exec chroot "$0" /usr/bin/containerd`

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
	h := &harness{t: t, root: root}
	h.startDaemon()
	engine, err := Dial(filepath.Join(root, "run/containerd/containerd.sock"), Runtime{"/usr/bin/runc", "/run/containerd/runc"})
	if err != nil {
		t.Fatal(err)
	}
	h.engine = engine
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, err := engine.Version(ctx); err != nil {
		h.daemon.Process.Kill()
		<-h.ended
		t.Fatalf("containerd does not start: %v", err)
	}
	t.Cleanup(func() {
		tasks, err := engine.Tasks(h.context())
		if err != nil {
			t.Error(err)
		}
		for _, task := range tasks {
			if err := engine.Delete(h.context(), task.ID); err != nil {
				t.Errorf("%s: %v", task.ID, err)
			}
		}
		engine.Close()
		h.daemon.Process.Signal(syscall.SIGTERM)
		<-h.ended
	})
	return h
}

func (h *harness) startDaemon() {
	var log bytes.Buffer
	h.daemon = exec.Command("unshare", "-m", "sh", "-c", start, h.root)
	h.daemon.Stdout, h.daemon.Stderr = &log, &log
	h.daemon.WaitDelay = time.Second
	if err := h.daemon.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.ended = make(chan struct{})
	go func() {
		h.daemon.Wait()
		if h.t.Failed() {
			h.t.Log(log.String())
		}
		close(h.ended)
	}()
}

func (h *harness) killDaemon() {
	h.daemon.Process.Kill()
	<-h.ended
}

func (h *harness) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	h.t.Cleanup(cancel)
	return ctx
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

// create makes and starts a task.
func (h *harness) create(name, what string) (pid int, out *output) {
	h.t.Helper()
	out = h.output(name)
	pid, err := h.engine.Create(h.context(), name, h.bundle(name, what, nil), out.path)
	if err == nil {
		err = h.engine.Start(h.context(), name)
	}
	if err != nil {
		h.t.Fatal(err)
	}
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
