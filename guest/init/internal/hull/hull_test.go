package hull

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
)

const full = `{
 "version": 1, "name": "tiny", "layout": "packed", "supervisor": "containerd", "hostname": "h", "modules": ["virtio_rng"],
 "mounts": [{"destination": "/d", "type": "overlay", "source": "overlay", "options": ["lowerdir=/l"]}],
 "layers": [{"id": "aa", "file": "hull/store/aa.erofs"}, {"id": "bb", "file": "hull/store/bb.erofs"}],
 "root": {"layers": ["aa/root", "bb"]},
 "onboot": [{"name": "sysctl", "bundle": "containers/onboot/000-sysctl", "layers": ["aa/containers/onboot/000-sysctl", "bb"], "timeout": 1.5}],
 "services": [{
   "name": "web", "bundle": "containers/services/web", "layers": ["bb"], "writable": true, "readonly": false,
   "restart": {"policy": "always", "delay": 0.5, "limit": 3}, "after": ["dhcp"], "requires": ["db"],
   "ready": {"tcp": 80, "timeout": 2.5}, "stop": {"signal": "SIGQUIT", "timeout": 3}, "logs": {"size": 8192, "console": true}
 }],
 "onshutdown": [{"name": "bye", "bundle": "containers/onshutdown/000-bye", "layers": ["bb"], "readonly": true}],
 "expect": {"address": true},
 "checks": [{"name": "page", "http": {"port": 80, "path": "/x", "status": 404, "contains": "hull"}, "timeout": 1},
            {"name": "comes back", "kill": "web"},
            {"name": "command", "exec": {"container": "web", "command": ["true"], "exit": 3, "contains": "y"}}],
 "something new": {"of": "later"}
}`

func TestParse(t *testing.T) {
	system, err := Parse([]byte(full))
	if err != nil {
		t.Fatal(err)
	}
	web := &Container{
		Kind: Service, ID: "web", Name: "web", Bundle: "containers/services/web", Layers: []string{"bb"}, Writable: true,
		Restart: Restart{RestartAlways, 500 * time.Millisecond, 3}, After: []string{"dhcp"}, Requires: []string{"db"},
		Ready: &Ready{TCP: 80, Timeout: 2500 * time.Millisecond}, Stop: Stop{syscall.SIGQUIT, 3 * time.Second},
		Logs: Logs{8192, true},
	}
	if !reflect.DeepEqual(system.Services, []*Container{web}) {
		t.Errorf("%+v", system.Services[0])
	}
	onboot := system.Onboot[0]
	if onboot.Kind != Onboot || onboot.ID != "000-sysctl" || onboot.Name != "sysctl" || onboot.Ready != nil ||
		onboot.Timeout != 1500*time.Millisecond || onboot.Stop != (Stop{syscall.SIGTERM, 10 * time.Second}) || onboot.Logs != (Logs{1 << 20, false}) ||
		onboot.Restart != (Restart{Policy: RestartNo}) {
		t.Errorf("defaults: %+v", onboot)
	}
	if bye := system.Onshutdown[0]; bye.Kind != Onshutdown || !bye.Readonly || bye.Timeout != 0 {
		t.Errorf("%+v", bye)
	}
	if !system.ExpectAddress || system.Hostname != "h" || !reflect.DeepEqual(system.Root, []string{"aa/root", "bb"}) ||
		len(system.Layers) != 2 || system.Layers[1] != (Layer{ID: "bb", File: "hull/store/bb.erofs"}) ||
		!reflect.DeepEqual(system.Modules, []string{"virtio_rng"}) ||
		!reflect.DeepEqual(system.Mounts, []Mount{{"/d", "overlay", "overlay", []string{"lowerdir=/l"}}}) {
		t.Errorf("%+v", system)
	}
	page, back, command := system.Checks[0], system.Checks[1], system.Checks[2]
	if back.Kill != "web" || back.Timeout != time.Minute || page.Kill != "" || system.Supervisor != Containerd {
		t.Errorf("%+v", back)
	}
	if page.Timeout != time.Second || *page.HTTP != (HTTPCheck{80, "/x", 404, "hull"}) {
		t.Errorf("%+v", page.HTTP)
	}
	if command.Timeout != 20*time.Second || !reflect.DeepEqual(*command.Exec, ExecCheck{"web", []string{"true"}, 3, "y"}) {
		t.Errorf("%+v", command.Exec)
	}
	if len(system.Containers()) != 3 {
		t.Error("Containers")
	}
}

func TestParseRefuses(t *testing.T) {
	cases := []struct{ from, to, says string }{
		{`"version": 1`, `"version": 2`, "version 2"},
		{`"layout": "packed"`, `"layout": "round"`, "layout"},
		{`"supervisor": "containerd"`, `"supervisor": "systemd"`, "supervisor"},
		{`"name": "web", "bundle": "containers/services/web"`, `"name": "web", "bundle": "containers/services/containerd"`, "cannot be named"},
		{`"kill": "web"`, `"kill": "nobody"`, "checks[1]"},
		{`"kill": "web"`, `"kill": ""`, "exactly one"},
		{`"id": "aa"`, `"id": "../aa"`, "layers[0]"},
		{`"file": "hull/store/aa.erofs"`, `"file": "../aa.erofs"`, "layers[0]"},
		{`["aa/root", "bb"]`, `[]`, "root.layers"},
		{`["aa/root", "bb"]`, `["aa/../..", "bb"]`, "bad reference"},
		{`["aa/root", "bb"]`, `["aa/a:b", "bb"]`, "bad reference"},
		{`["aa/root", "bb"]`, `["cc"]`, `"cc"`},
		{`"layers": ["bb"], "writable"`, `"layers": [], "writable"`, "no layers"},
		{`"name": "web"`, `"name": "a/b"`, "name"},
		{`"name": "web"`, `"name": ".."`, "name"},
		{`"bundle": "containers/services/web"`, `"bundle": "/containers/services/web"`, "bundle"},
		{`"bundle": "containers/services/web"`, `"bundle": "containers/../../web"`, "bundle"},
		{`"policy": "always"`, `"policy": "sometimes"`, "policy"},
		{`"delay": 0.5`, `"delay": -1`, "services[0].restart.delay"},
		{`"limit": 3`, `"limit": "3"`, "services[0].restart.limit: a number is needed"},
		{`"tcp": 80, `, `"tcp": 0, `, "services[0].ready.tcp"},
		{`"tcp": 80, `, `"tcp": 80, "file": "/x", `, "exactly one"},
		{`"tcp": 80, `, ``, "exactly one"},
		{`"tcp": 80, `, `"address": "ipx", `, "ready.address"},
		{`"SIGQUIT"`, `"SIGNOTHING"`, "SIGNOTHING"},
		{`"size": 8192`, `"size": 5`, "services[0].logs.size"},
		{`"container": "web"`, `"container": "nobody"`, "checks[2]"},
		{`"command": ["true"]`, `"command": []`, "checks[2]"},
		{`"port": 80, "path": "/x"`, `"port": 80, "path": "/a\r\nb"`, "checks[0]"},
		{`"port": 80, "path": "/x"`, `"path": "/x"`, "checks[0]"},
		{`"http": {`, `"exec": {"container": "web", "command": ["x"]}, "http": {`, "checks[0]: exactly one"},
		{`{"name": "bye", "bundle": "containers/onshutdown/000-bye"`, `{"name": "bye", "bundle": ""`, "bye"},
		{`"services": [{`, `"services": [null, {`, "not a name"},
		{`}`, ``, "JSON"},
	}
	for _, each := range cases {
		text := strings.Replace(full, each.from, each.to, 1)
		if text == full {
			t.Fatalf("%s is not there", each.from)
		}
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), each.says) {
			t.Errorf("%s → %s: %v", each.from, each.to, err)
		}
	}
}

func TestStoreOnDisk(t *testing.T) {
	onDisk := func(layers string) (*System, error) {
		return Parse([]byte(`{"version": 1, "layout": "packed", "root": {"layers": ["aa"]}, "layers": [` + layers + `]}`))
	}
	system, err := onDisk(`{"id": "aa", "offset": 0, "size": 4096}, {"id": "bb", "offset": 4096, "size": 8192}`)
	if err != nil || !system.OnDisk() || system.Layers[1] != (Layer{ID: "bb", Offset: 4096, Size: 8192}) {
		t.Errorf("%+v %v", system, err)
	}
	if system, err := onDisk(`{"id": "aa", "file": "aa.erofs"}`); err != nil || system.OnDisk() {
		t.Errorf("%+v %v", system, err)
	}
	for _, bad := range []string{
		`{"id": "aa"}`,
		`{"id": "aa", "offset": 0, "size": 4097}`,
		`{"id": "aa", "offset": 512, "size": 4096}`,
		`{"id": "aa", "offset": -4096, "size": 4096}`,
		`{"id": "aa", "file": "aa.erofs", "offset": 0, "size": 4096}`,
		`{"id": "aa", "offset": 0, "size": 4096}, {"id": "bb", "file": "bb.erofs"}`,
		`{"id": "bb", "file": "bb.erofs"}, {"id": "aa", "offset": 0, "size": 4096}`,
	} {
		if _, err := onDisk(bad); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

func TestParseRefusesTwins(t *testing.T) {
	twin := `{"name": "web", "bundle": "containers/services/web2", "layers": ["bb"]}`
	text := strings.Replace(full, `"services": [`, `"services": [`+twin+`,`, 1)
	if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), "two services") {
		t.Error(err)
	}
	text = strings.Replace(full, `"services": [`, `"services": [`+strings.Replace(twin, "web2", "web", 1)+`,`, 1)
	if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Error(err)
	}
}

func TestEmptyDocuments(t *testing.T) {
	if _, err := Parse([]byte(`{"version": 1, "layout": "flat"}`)); err != nil {
		t.Error(err)
	}
	for _, text := range []string{``, `{}`, `null`, `[]`, `"x"`} {
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("%q is a system", text)
		}
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hull.json")
	if _, err := Load(path); !os.IsNotExist(err) {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte(full), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err != nil {
		t.Error(err)
	}
	if err := os.Truncate(path, maxSize+1); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Error(err)
	}
}

func TestSignals(t *testing.T) {
	good := map[string]syscall.Signal{
		"SIGTERM": 15, "TERM": 15, "sigusr1": 10, "9": 9, "SIGRTMIN": 34, "SIGRTMIN+3": 37, "RTMAX": 64, "SIGRTMAX-1": 63,
	}
	for text, number := range good {
		if got, err := ParseSignal(text); err != nil || got != number {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "SIG", "0", "65", "-1", "SIGFOO", "SIGRTMIN+99", "SIGRTMAX+1", "RTMINx"} {
		if got, err := ParseSignal(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
	for name, number := range signals {
		if SignalName(int(number)) != "SIG"+name {
			t.Errorf("%d is %s", number, SignalName(int(number)))
		}
	}
	if SignalName(40) != "signal 40" {
		t.Error(SignalName(40))
	}
}
