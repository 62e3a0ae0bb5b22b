package container

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"hullkit/guest/init/internal/hull"
)

func TestParseRuntimeConfig(t *testing.T) {
	config, err := ParseRuntimeConfig([]byte(`{
	 "cgroups": ["/a"], "mkdir": ["/run/x"], "namespace": "containerd's",
	 "mounts": [{"destination": "/d", "type": "tmpfs", "source": "tmpfs", "options": ["ro", "size=1m"]}],
	 "interfaces": [{"name": "eth1"}, {"name": "v0", "peer": "v1"}, {"name": "w", "add": "wireguard", "createInRoot": true}],
	 "bindNS": {"net": "/run/netns/x", "ipc": ""}
	}`))
	if err != nil {
		t.Fatal(err)
	}
	expected := &RuntimeConfig{
		Cgroups: []string{"/a"}, Mkdir: []string{"/run/x"},
		Mounts:     []hull.Mount{{Destination: "/d", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro", "size=1m"}}},
		Interfaces: []Interface{{Name: "eth1"}, {Name: "v0", Peer: "v1"}, {Name: "w", Add: "wireguard", CreateInRoot: true}},
		BindNS:     map[string]string{"net": "/run/netns/x"},
	}
	if !reflect.DeepEqual(config, expected) {
		t.Errorf("%+v", config)
	}
	for i, kind := range []string{"", "veth", "wireguard"} {
		if got := config.Interfaces[i].kind(); got != kind {
			t.Errorf("%+v is of kind %q", config.Interfaces[i], got)
		}
	}
	if config, err := ParseRuntimeConfig([]byte(`{"mounts": null}`)); err != nil || len(config.Mounts) != 0 {
		t.Error(config, err)
	}
}

func TestParseRuntimeConfigRefuses(t *testing.T) {
	for text, says := range map[string]string{
		`{`:                               "JSON",
		`{"mounts": [{"options": "ro"}]}`: "mounts[0].options: an array",
		`{"interfaces": [{}]}`:            "interfaces[0]: an interface needs a name",
		`{"interfaces": [{"name": "a", "add": "veth"}]}`:               "needs a peer",
		`{"interfaces": [{"name": "a", "add": "dummy", "peer": "b"}]}`: "a dummy interface has no peer",
		`{"bindNS": {"time": "/x"}}`:                                   "bindNS.time",
	} {
		if _, err := ParseRuntimeConfig([]byte(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestReadRuntimeConfigMayBeAbsent(t *testing.T) {
	bundle := t.TempDir()
	if config, err := readRuntimeConfig(bundle); err != nil || config == nil {
		t.Error(config, err)
	}
	if err := os.WriteFile(filepath.Join(bundle, "runtime.json"), []byte(`{"mkdir": ["`+bundle+`/a/b"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := readRuntimeConfig(bundle)
	if err != nil || config.prepare() != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(bundle, "a/b")); err != nil || !info.IsDir() {
		t.Error(err)
	}
}

func TestCgroup(t *testing.T) {
	if got := specifiedCgroup([]byte(`{"linux": {"cgroupsPath": "/services/web", "resources": {"memory": {"limit": 1}}}}`)); got != "/services/web" {
		t.Error(got)
	}
	for _, text := range []string{`{}`, `{`, `{"linux": null}`, `{"linux": {"cgroupsPath": 5}}`} {
		if got := specifiedCgroup([]byte(text)); got != "" {
			t.Error(text, got)
		}
	}
	if got := processCgroup("1:cpu:/x\n0::/crun-web\n"); got != "/sys/fs/cgroup/crun-web" {
		t.Error(got)
	}
	if got := processCgroup("0::/\n"); got != "" {
		t.Error("the root cgroup is nobody's own:", got)
	}
}

func TestOutOfMemory(t *testing.T) {
	directory := t.TempDir()
	for text, expected := range map[string]bool{
		"low 0\nhigh 0\nmax 35\noom 1\noom_kill 1\noom_group_kill 0\n": true,
		"low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n":  false,
		"": false,
	} {
		if err := os.WriteFile(filepath.Join(directory, "memory.events"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := outOfMemory(directory); got != expected {
			t.Errorf("%q: %v", text, got)
		}
	}
	if outOfMemory("") || outOfMemory("/nowhere") {
		t.Error("a cgroup that is not there")
	}
}

// captured in a system that hullkit booted: busybox httpd as the first process of its namespace, nginx, and init itself
const (
	httpd = "Name:\tbusybox\nNSpid:\t113\t1\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001000\nSigCgt:\t0000000000000000\n"
	nginx = "Name:\tnginx\nNSpid:\t142\t1\nSigBlk:\t0000000000000000\nSigIgn:\t0000000040001000\nSigCgt:\t0000000198016a07\n"
	waits = "Name:\tsigwait\nNSpid:\t142\t1\nSigBlk:\t0000000000004000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n"
	host  = "Name:\tsleep\nNSpid:\t142\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n"
)

func TestStatusIgnores(t *testing.T) {
	cases := []struct {
		status   string
		signal   syscall.Signal
		expected bool
	}{
		{httpd, syscall.SIGTERM, true},
		{nginx, syscall.SIGTERM, false},
		{nginx, syscall.SIGQUIT, false},
		{nginx, syscall.SIGCONT, true},
		{waits, syscall.SIGTERM, false},
		{host, syscall.SIGTERM, false},
		{"", syscall.SIGTERM, false},
		{"NSpid:\t5\t1\nSigCgt:\tnonsense\n", syscall.SIGTERM, false},
	}
	for _, each := range cases {
		if got := statusIgnores(each.status, int(each.signal)); got != each.expected {
			t.Errorf("%.20q, %v: %v", each.status, each.signal, got)
		}
	}
}

func TestWouldIgnoreInARealNamespace(t *testing.T) {
	command := exec.Command("/bin/sleep", "100")
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWPID,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
	}
	switch err := command.Start(); {
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.ENOSPC):
		t.Skip("no user namespaces here:", err)
	case err != nil:
		t.Fatal(err)
	}
	pid := command.Process.Pid
	if !wouldIgnore(pid, int(syscall.SIGTERM)) {
		t.Error("sleep does not handle SIGTERM")
	}
	if wouldIgnore(os.Getpid(), int(syscall.SIGTERM)) {
		t.Error("this process is not the first of its namespace, or handles it")
	}
	syscall.Kill(pid, syscall.SIGTERM)
	time.Sleep(50 * time.Millisecond)
	if err := syscall.Kill(pid, 0); err != nil {
		t.Error("it did not ignore SIGTERM:", err)
	}
	command.Process.Kill()
	command.Wait()
}

func TestReadPID(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	for text, expected := range map[string]int{"123": 123, "45\n": 45, "": 0, "x": 0, "1": 0, "-5": 0} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if pid, err := readPID(path); pid != expected && expected != 0 || (err == nil) != (expected != 0) {
			t.Errorf("%q: %d, %v", text, pid, err)
		}
	}
}

func TestMountLayersRefusesWhatDoesNotFit(t *testing.T) {
	references := make([]string, 200)
	for i := range references {
		references[i] = strings.Repeat("a", 32)
	}
	if err := MountLayers(references, "/nowhere", ""); err == nil || !strings.Contains(err.Error(), "200 layers on /nowhere are more than the kernel takes") {
		t.Error(err)
	}
}
