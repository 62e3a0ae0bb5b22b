package control

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hullkit/guest/init/internal/hull"
	"hullkit/guest/init/internal/proc"
	"hullkit/guest/init/internal/supervise"
)

// pair returns the two ends of a socket that stands for the port; both can be waited for, as the real one.
func pair(t *testing.T) (guest, host *os.File) {
	t.Helper()
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	guest, host = os.NewFile(uintptr(ends[0]), "guest"), os.NewFile(uintptr(ends[1]), "host")
	t.Cleanup(func() { guest.Close(); host.Close() })
	host.SetDeadline(time.Now().Add(10 * time.Second))
	return guest, host
}

func TestEventsReachTheHost(t *testing.T) {
	guest, host := pair(t)
	channel := New(nil)
	channel.Send(Stage("init", 0.5))
	channel.Serve(guest)
	channel.Send(Log("web", "a \"line\"\n"))
	lines := bufio.NewScanner(host)
	for _, expected := range []string{
		`{"event":"stage","name":"init","uptime":0.5}`, `{"event":"log","name":"web","line":"a \"line\"\n"}`,
	} {
		if !lines.Scan() || lines.Text() != expected {
			t.Errorf("%q instead of %s (%v)", lines.Text(), expected, lines.Err())
		}
	}
}

func TestCommandsReachTheGuest(t *testing.T) {
	guest, host := pair(t)
	commands := make(chan string, 10)
	channel := New(func(name string) { commands <- name })
	channel.Serve(guest)
	fmt.Fprint(host, "{\"command\": \"check\"}\nnonsense\n[]\n{\"command\": 5}\n{\"comm")
	fmt.Fprint(host, "and\":\"poweroff\"}\n"+strings.Repeat("x", 3*maxCommand)+"\n{\"command\":\"reboot\"}\n")
	for _, expected := range []string{"check", "poweroff", "reboot"} {
		select {
		case got := <-commands:
			if got != expected {
				t.Errorf("%s instead of %s", got, expected)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("no", expected)
		}
	}
}

func TestAHostThatDoesNotReadHoldsNobodyUp(t *testing.T) {
	guest, host := pair(t)
	channel := New(nil)
	channel.Serve(guest)
	started := time.Now()
	const total = 20000
	for i := range total {
		channel.Send(Log("web", fmt.Sprint(i)))
	}
	channel.Flush(20 * time.Millisecond)
	if waited := time.Since(started); waited > 10*time.Second {
		t.Error("it took", waited)
	}
	channel.mutex.Lock()
	kept := len(channel.queue)
	channel.mutex.Unlock()
	if kept > maxQueue {
		t.Error(kept, "events are kept")
	}
	lines := bufio.NewScanner(host)
	count, last := 0, ""
	for last != fmt.Sprintf(`{"event":"log","name":"web","line":"%d"}`, total-1) && lines.Scan() {
		last = lines.Text()
		count++
	}
	if lines.Err() != nil || count >= total {
		t.Error(count, last, lines.Err())
	}
}

func TestFlushWaitsForTheHost(t *testing.T) {
	guest, host := pair(t)
	channel := New(nil)
	channel.Flush(time.Hour) // there is no port: nothing to wait for
	channel.port = guest
	channel.Serve(guest)
	for range 200 {
		channel.Send(Log("web", strings.Repeat("x", 2000)))
	}
	go func() {
		buffer := make([]byte, 1<<16)
		for {
			if _, err := host.Read(buffer); err != nil {
				return
			}
		}
	}()
	channel.Flush(10 * time.Second)
	if len(channel.queue) > 0 || channel.sending {
		t.Error(len(channel.queue), "events are left")
	}
}

func TestFindPort(t *testing.T) {
	sysfs, devices := t.TempDir(), t.TempDir()
	if FindPort(sysfs, devices) != nil {
		t.Error("there is none")
	}
	for port, name := range map[string]string{"vport0p1": "org.other", "vport1p2": PortName} {
		directory := filepath.Join(sysfs, "class/virtio-ports", port)
		if err := os.MkdirAll(directory, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(directory, "name"), []byte(name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if FindPort(sysfs, devices) != nil {
		t.Error("its device is not there yet")
	}
	if err := os.WriteFile(filepath.Join(devices, "vport1p2"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	port := FindPort(sysfs, devices)
	if port == nil || filepath.Base(port.Name()) != "vport1p2" {
		t.Fatal(port)
	}
	port.Close()
}

func TestContainerEvent(t *testing.T) {
	status := supervise.Status{
		Container: &hull.Container{Name: "web", Kind: hull.Service}, State: supervise.Running, Restarts: 2,
	}
	keys := func() string { return fmt.Sprintln(Container(status, 1.5)...) }
	if got := keys(); got != "event container name web kind service state running restarts 2 uptime 1.5\n" {
		t.Error(got)
	}
	status.Exit, status.Message = &supervise.Exit{Exit: proc.Exit{Signal: 9}}, "killed"
	event := Container(status, 1.5)
	if last := event[len(event)-4:]; last[0] != "signal" || *last[1].(*int) != 9 || last[3] != "killed" {
		t.Error(event)
	}
	status.Exit = &supervise.Exit{Exit: proc.Exit{Code: 0}}
	event = Container(status, 1.5)
	if last := event[len(event)-4:]; last[0] != "exit" || *last[1].(*int) != 0 {
		t.Error(event)
	}
}
