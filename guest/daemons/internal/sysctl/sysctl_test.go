package sysctl

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	settings, problems := parse("# x\n; y\n\n a.b = 1 2 \n-c/d.e=\nno value\n../../etc/passwd = 1\na..b = 1\n = 2\nx = a = b")
	want := []setting{{4, "a.b", "1 2", false}, {5, "c/d.e", "", true}, {10, "x", "a = b", false}}
	if !reflect.DeepEqual(settings, want) {
		t.Errorf("got %v, want %v", settings, want)
	}
	var lines []int
	for _, each := range problems {
		lines = append(lines, each.line)
	}
	if !reflect.DeepEqual(lines, []int{6, 7, 8, 9}) {
		t.Errorf("problems in %v: %v", lines, problems)
	}
}

func TestPath(t *testing.T) {
	for key, want := range map[string]string{
		"kernel.sysrq":                 "kernel/sysrq",
		"net.ipv4.conf.eth0/100.proxy": "net/ipv4/conf/eth0.100/proxy",
		"net/ipv4/conf/eth0.100/proxy": "net/ipv4/conf/eth0.100/proxy",
		"plain":                        "plain",
	} {
		if got := path(key); got != want {
			t.Errorf("%s: got %s, want %s", key, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("a.b = 1\n-x = 2\n")
	f.Fuzz(func(t *testing.T, text string) {
		settings, _ := parse(text)
		for _, each := range settings {
			if clean := filepath.Clean("/proc/sys/" + path(each.key)); !strings.HasPrefix(clean, "/proc/sys/") {
				t.Errorf("%q leads to %s", each.key, clean)
			}
		}
	})
}

func TestApply(t *testing.T) {
	top := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(top, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	parameter := write("root/kernel/level", "0\n")
	other := write("root/kernel/other", "")
	write("d/20-late.conf", "kernel.level = 2\n-kernel.missing = 1\n")
	write("d/10-early.conf", "kernel.level = 1\nkernel/other = 7\n")
	write("d/README", "kernel.level = 9\n")
	var told []string
	run := func(files ...string) int {
		told = nil
		return apply(files, filepath.Join(top, "root")+"/", filepath.Join(top, "d"), func(text string) { told = append(told, text) })
	}
	if status := run(); status != 0 {
		t.Errorf("status %d: %v", status, told)
	}
	if len(told) != 1 || !strings.HasSuffix(told[0], "20-late.conf:2: kernel.missing = 1: this kernel has no such parameter, skipped") {
		t.Errorf("told %q", told)
	}
	for path, want := range map[string]string{parameter: "2\n", other: "7\n"} {
		if got, _ := os.ReadFile(path); string(got) != want {
			t.Errorf("%s has %q, not %q", path, got, want)
		}
	}
	bad := write("bad.conf", "kernel.none = 1\nnonsense\nkernel.level = 3\n")
	if status := run(bad, filepath.Join(top, "absent.conf")); status != 1 || len(told) != 3 {
		t.Errorf("status %d, told %q", status, told)
	}
	if got, _ := os.ReadFile(parameter); string(got) != "3\n" {
		t.Errorf("a line after a bad one was not applied: %q", got)
	}
}
