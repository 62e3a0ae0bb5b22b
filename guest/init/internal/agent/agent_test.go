package agent

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"hullkit/guest/init/internal/control"
	hulljson "hullkit/guest/init/internal/json"
	"hullkit/guest/init/internal/report"
	"hullkit/guest/init/internal/sys"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestParseShow(t *testing.T) {
	// as systemctl 257 writes it
	const text = "Id=ssh.service\nActiveState=active\nResult=success\nNRestarts=2\nActiveEnterTimestampMonotonic=12345678\n\n" +
		"Id=odd=.service\nActiveState=failed\nResult=exit-code\nNRestarts=0\nActiveEnterTimestampMonotonic=0\n"
	units := parseShow(text)
	if len(units) != 2 || units[1]["Id"] != "odd=.service" || units[1]["Result"] != "exit-code" {
		t.Fatal(units)
	}
	described := describe("ssh", units[0])
	if described.Name != "ssh" || described.State != "ready" || described.Restarts != 2 || *described.ReadySeconds != 12.345 {
		t.Errorf("%+v", described)
	}
	if other := describe("session-1.scope", properties{}); other.Name != "session-1.scope" || other.State != "running" || other.ReadySeconds != nil {
		t.Errorf("%+v", other)
	}
	for _, nothing := range []string{"", "\n\n\n", "no equals sign"} {
		if got := parseShow(nothing); len(got) != 0 {
			t.Error(got)
		}
	}
}

func TestUnitChecks(t *testing.T) {
	states := map[string]properties{
		"b": {"ActiveState": "failed", "Result": "timeout"}, "a": {"ActiveState": "failed"}, "c": {"ActiveState": "active"},
	}
	checks := unitChecks(properties{"FinishTimestampMonotonic": "1"}, states)
	expected := []report.Check{
		{Name: "systemd has ended the boot", Culprit: "systemd", OK: true},
		{Name: "unit a", Culprit: "a", Message: "the unit has failed: "},
		{Name: "unit b", Culprit: "b", Message: "the unit has failed: timeout"},
	}
	if !reflect.DeepEqual(checks, expected) {
		t.Errorf("%+v", checks)
	}
	for _, finish := range []string{"", "0"} {
		if checks := unitChecks(properties{"FinishTimestampMonotonic": finish}, nil); len(checks) != 1 || checks[0].OK {
			t.Error(checks)
		}
	}
}

func TestFindUnits(t *testing.T) {
	root := t.TempDir()
	for directory, processes := range map[string]string{
		"init.scope":                 "1\n",
		"system.slice/ssh.service":   "10\n",
		"system.slice/ended.service": "",
		"system.slice/system-getty.slice/getty@tty1.service":         "11\n",
		"user.slice/user-0.slice/session-1.scope":                    "12\n",
		"user.slice/user-0.slice/user@0.service/init.scope":          "13\n",
		"user.slice/user-0.slice/user@0.service/app.slice/x.service": "14\n",
		"dev-hugepages.mount":                                        "",
	} {
		write(t, filepath.Join(root, directory, "cgroup.procs"), processes)
	}
	found := findUnits(root)
	if names := slices.Sorted(maps.Values(found)); !slices.Equal(names, []string{"getty@tty1", "session-1.scope", "ssh", "user@0"}) {
		t.Error(names)
	}
	if found[filepath.Join(root, "system.slice/ssh.service")] != "ssh" {
		t.Error(found)
	}
	if got := processes(filepath.Join(root, "user.slice/user-0.slice/user@0.service")); !slices.Equal(got, []string{"14", "13"}) {
		t.Error(got)
	}
}

const mountInfo = `29 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 29 0:21 / /proc rw,nosuid shared:2 - proc proc rw
24 29 0:22 / /run rw,nosuid shared:3 - tmpfs tmpfs rw,size=1k
25 29 0:23 / /tmp rw,nosuid shared:3 - tmpfs tmpfs rw
26 29 0:23 / /tmp ro,nosuid shared:3 - tmpfs tmpfs rw
27 29 254:0 /usr /usr ro,relatime shared:3 - ext4 /dev/vda rw
`

func TestReadRights(t *testing.T) {
	procfs, cgroup := t.TempDir(), t.TempDir()
	status := func(user, permitted, bounding, privileges, seccomp string) string {
		return "Name:\tx\nUid:\t0\t" + user + "\t0\t0\nGid:\t0\t" + user + "\t0\t0\nCapPrm:\t" + permitted + "\nCapBnd:\t" + bounding +
			"\nNoNewPrivs:\t" + privileges + "\nSeccomp:\t" + seccomp + "\n"
	}
	namespace := func(process, target string) {
		if err := os.MkdirAll(filepath.Join(procfs, process, "ns"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, filepath.Join(procfs, process, "ns/net")); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(cgroup, "cgroup.procs"), "7\n8\n9\n")
	if rights := readRights(procfs, cgroup); rights != nil {
		t.Errorf("%+v", rights)
	}
	write(t, filepath.Join(procfs, "7/status"), status("101", "0", "0000000000000001", "1", "2"))
	write(t, filepath.Join(procfs, "7/mountinfo"), mountInfo)
	for process, target := range map[string]string{"1": "net:[1]", "7": "net:[2]", "8": "net:[2]"} {
		namespace(process, target)
	}
	expected := report.Rights{
		User: "101:101", Capabilities: []string{"CAP_CHOWN"}, Filtered: true, NoNewPrivileges: true, OwnNetwork: true,
		Writable: []string{"/", "/run"},
	}
	if rights := readRights(procfs, cgroup); rights == nil || !reflect.DeepEqual(*rights, expected) {
		t.Errorf("%+v", rights)
	}
	// what one process may do counts, what only some of them are kept from does not
	write(t, filepath.Join(procfs, "8/status"), status("0", "0000000000000400", "8000000000000000", "0", "0"))
	expected.Capabilities = []string{"CAP_63", "CAP_CHOWN", "CAP_NET_BIND_SERVICE"}
	expected.Filtered, expected.NoNewPrivileges = false, false
	if rights := readRights(procfs, cgroup); rights == nil || !reflect.DeepEqual(*rights, expected) {
		t.Errorf("%+v", rights)
	}
	text := string(hulljson.Encode(report.Report{Containers: []report.Container{{Rights: &expected}}}.JSON()))
	var told struct {
		Containers []struct{ Rights map[string]any }
	}
	if err := json.Unmarshal([]byte(text), &told); err != nil || told.Containers[0].Rights["user"] != "101:101" {
		t.Error(err, text)
	}
	if names := capabilityNames(1<<41 - 1); len(names) != 41 || !slices.Contains(names, "CAP_CHECKPOINT_RESTORE") {
		t.Error(names)
	}
}

func TestWritableTakesTheLastMount(t *testing.T) {
	if got := writable(sys.ParseMountInfo(mountInfo)); !slices.Equal(got, []string{"/", "/run"}) {
		t.Error(got)
	}
}

// Without systemd the agent tells of what it sees itself.
func TestReportWithoutSystemd(t *testing.T) {
	asked := make(chan bool, 1)
	agent := &Agent{channel: control.New(func(string) {}), poweroff: func() { asked <- true }}
	agent.stage("init", 1.5)
	found := agent.report()
	if len(found.Stages) != 1 || found.Stages[0].Seconds != 1.5 || found.Memory.Total == 0 || len(found.Containers) != 0 || found.Up {
		t.Errorf("%+v", found)
	}
	if len(found.Checks) != 1 || found.Checks[0].OK != hasAddress() {
		t.Errorf("%+v", found.Checks)
	}
	if text := string(hulljson.Encode(found.JSON())); strings.Contains(text, "rights") || !strings.Contains(text, `"init":"agent 1"`) {
		t.Error(text)
	}
	agent.command("reboot")
	agent.command("poweroff")
	if !<-asked {
		t.Error("it does not power off")
	}
	if uptime() <= 0 {
		t.Error(uptime())
	}
}
