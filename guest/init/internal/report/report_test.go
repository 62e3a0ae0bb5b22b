package report

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"hullkit/guest/init/internal/hull"
	hulljson "hullkit/guest/init/internal/json"
	"hullkit/guest/init/internal/proc"
	"hullkit/guest/init/internal/supervise"
)

// testdata/meminfo was captured in a system that hullkit booted.
func TestParseMemory(t *testing.T) {
	text, err := os.ReadFile("testdata/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	const kilobyte = 1024
	expected := Memory{
		Total: 989900 * kilobyte, Available: 821428 * kilobyte, Free: 883244 * kilobyte,
		Kernel: (24944 + 7036 + 304 + 576) * kilobyte,
		Tmpfs:  10444 * kilobyte, PageCache: (27236 + 100 - 10444) * kilobyte, Anonymous: 7800 * kilobyte,
	}
	if got := ParseMemory(string(text)); got != expected {
		t.Errorf("%+v", got)
	}
	if got := ParseMemory(""); got != (Memory{}) {
		t.Errorf("%+v", got)
	}
	if got := ReadMemory(); got.Total == 0 || got.Available == 0 || got.Kernel == 0 || got.Free == 0 {
		t.Errorf("%+v", got)
	}
}

type instance struct {
	supervise.Instance
	cgroup string
}

func (i instance) Cgroup() string { return i.cgroup }

func TestDescribe(t *testing.T) {
	cgroup := t.TempDir()
	for name, text := range map[string]string{
		"memory.current": "344064\n",
		"memory.stat":    "anon 61440\nfile 167936\nkernel 106496\nshmem 4096\nanon_thp 0\n",
	} {
		if err := os.WriteFile(filepath.Join(cgroup, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	status := supervise.Status{
		Container: &hull.Container{Name: "web", Kind: hull.Service}, State: supervise.Ready, Restarts: 1,
		ReadyAt: begin.Add(1500 * time.Millisecond), Instance: instance{cgroup: cgroup}, Message: "m",
		Exit: &supervise.Exit{Exit: proc.Exit{Signal: 11}},
	}
	described := Describe(status, func(at time.Time) float64 { return at.Sub(begin).Seconds() })
	if described.Name != "web" || described.Kind != "service" || described.State != "ready" || described.Restarts != 1 ||
		*described.ReadySeconds != 1.5 || described.Exit != nil || *described.Signal != 11 || described.Message != "m" {
		t.Errorf("%+v", described)
	}
	if *described.Memory != 344064 || *described.MemoryAnonymous != 61440 || *described.MemoryFile != 167936 ||
		*described.MemoryTmpfs != 4096 || *described.MemoryKernel != 106496 {
		t.Errorf("%+v", described)
	}
	status.Instance = instance{}
	if got := Describe(status, func(time.Time) float64 { return 0 }); got.Memory != nil {
		t.Errorf("a container without a cgroup of its own: %+v", got)
	}
	status = supervise.Status{Container: &hull.Container{Name: "x"}, State: supervise.Waiting}
	if got := Describe(status, nil); got.Memory != nil || got.Exit != nil || got.ReadySeconds != nil {
		t.Errorf("%+v", got)
	}
}

func TestPerCPUFree(t *testing.T) {
	zones := "Node 0, zone DMA\n    cpu: 0\n              count:    3\n              high:     4\n    cpu: 1\n  count: 2\n"
	if got := perCPUFree(zones); got != int64(5*os.Getpagesize()) {
		t.Error(got)
	}
}

func TestJSON(t *testing.T) {
	code := 3
	full := Report{
		Version: 1, Name: "tiny", Kernel: "6", Init: "1", Runtime: "crun 1.21", Up: true,
		Supervisor: Supervisor{Name: "containerd", Version: "2.4", Restarts: 1, Tasks: []Task{{"web", 7, "running"}}},
		Stages:     []Stage{{"init", 1.25}},
		Containers: []Container{{Name: "web", Kind: "service", State: "failed", Exit: &code}},
		Memory:     Memory{Total: 1 << 40}, Addresses: []string{"eth0 10.0.2.15/24"},
		Ports:  []Port{{"udp", "0.0.0.0", 68, "dhcpcd", false}},
		Checks: []Check{{"web runs", "web", false, "it is failed"}},
	}
	const expected = `{"version":1,"name":"tiny","kernel":"6","init":"1","runtime":"crun 1.21",` +
		`"supervisor":{"name":"containerd","version":"2.4","restarts":1,"tasks":[{"id":"web","pid":7,"state":"running"}],` +
		`"memory":null,"memory_anonymous":null,"memory_file":null,"memory_tmpfs":null,"memory_kernel":null},"up":true,` +
		`"stages":[{"name":"init","seconds":1.25}],` +
		`"containers":[{"name":"web","kind":"service","state":"failed","exit":3,"signal":null,"restarts":0,` +
		`"ready_seconds":null,"memory":null,"memory_anonymous":null,"memory_file":null,"memory_tmpfs":null,"memory_kernel":null,"message":""}],` +
		`"memory":{"total":1099511627776,"available":0,"free":0,"kernel":0,"tmpfs":0,"page_cache":0,"anonymous":0},` +
		`"addresses":["eth0 10.0.2.15/24"],"ports":[{"protocol":"udp","address":"0.0.0.0","port":68,` +
		`"container":"dhcpcd","private":false}],"checks":[{"name":"web runs","culprit":"web","ok":false,"message":"it is failed"}]}`
	if got := string(hulljson.Encode(full.JSON())); got != expected {
		t.Error(got)
	}
	if empty := hulljson.Encode(Report{}.JSON()); !json.Valid(empty) {
		t.Errorf("%s", empty)
	}
}
