package modules

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
)

const depText = `kernel/drivers/net/virtio_net.ko.xz: kernel/net/core/failover.ko.xz kernel/drivers/net/net_failover.ko.xz
kernel/drivers/net/net_failover.ko.xz: kernel/net/core/failover.ko.xz
kernel/net/core/failover.ko.xz:
kernel/drivers/char/hw_random/virtio-rng.ko.xz:
kernel/a.ko: kernel/b.ko
kernel/b.ko: kernel/a.ko
`

const aliasText = `# Aliases extracted from modules themselves.
alias virtio:d00000001v* virtio_net
alias virtio:d00000004v* virtio_rng
alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci
alias net-pf-16-proto-4[0-9] x
alias rtnl-link-veth a
`

func TestOrderIsOfDependenciesFirst(t *testing.T) {
	table := ParseDep(depText)
	if got := order(table, "virtio_net"); !reflect.DeepEqual(got, []string{"failover", "net_failover", "virtio_net"}) {
		t.Error(got)
	}
	if got := order(table, "virtio_rng"); !reflect.DeepEqual(got, []string{"virtio_rng"}) {
		t.Error(got)
	}
	if got := order(table, "ext4"); got != nil {
		t.Error("a module that is built in:", got)
	}
	if got := order(table, "a"); len(got) != 2 {
		t.Error("a circle:", got)
	}
}

func TestMatching(t *testing.T) {
	cases := map[string][]string{
		"virtio:d00000001v00001AF4":                             {"virtio_net"},
		"virtio:d00000009v00001AF4":                             nil,
		"pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00": {"virtio_pci"},
		"pci:v00008086d00001000sv00001AF4sd00000001bc02sc00i00": nil,
		"net-pf-16-proto-42":                                    {"x"},
		"net-pf-16-proto-4":                                     nil,
		"rtnl-link-veth":                                        {"a"},
	}
	var all []string
	for device, expected := range cases {
		if got := Matching(aliasText, []string{device}); !reflect.DeepEqual(got, expected) {
			t.Errorf("%s: %v", device, got)
		}
		all = append(all, device)
	}
	if got := Matching(aliasText, all); !reflect.DeepEqual(got, []string{"a", "virtio_net", "virtio_pci", "x"}) {
		t.Error(got)
	}
	if got := Matching("alias\nalias x\n\nalias  \n", []string{"", "x"}); got != nil {
		t.Error("damaged lines:", got)
	}
}

func TestMatchIsThatOfTheShell(t *testing.T) {
	patterns := []string{"", "*", "a*", "*a", "a*b*c", "?", "a?c", "[ab]", "[a-c]x", "[!a]", "[^a]", "*[0-9]", `\*`, "a[", "**", "*ab", "[]a]", "a*a*a*b"}
	texts := []string{"", "a", "b", "ab", "abc", "aXbYc", "cx", "x9", "*", "a[", "aab", "aaab", "]", "axbxab", strings.Repeat("a", 40)}
	for _, pattern := range patterns {
		for _, text := range texts {
			expected, err := path.Match(strings.ReplaceAll(pattern, "[!", "[^"), text)
			if err != nil {
				continue // path.Match calls "a[" and "[]a]" malformed
			}
			if got := match(pattern, text); got != expected {
				t.Errorf("match(%q, %q) is %v", pattern, text, got)
			}
		}
	}
	if !match("a[", "a[") || !match("[]a]", "]") || match("[]a]", "b") {
		t.Error("a bracket without its other half is itself, and ] may come first")
	}
}

// loader makes a Loader over a directory, which records instead of asking the kernel.
func loader(t *testing.T, commandLine string) (*Loader, *[]string) {
	t.Helper()
	directory := t.TempDir()
	for name, text := range map[string]string{"modules.dep": depText, "modules.alias": aliasText} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	made, err := Open(directory, commandLine)
	if err != nil {
		t.Fatal(err)
	}
	var mutex sync.Mutex
	var inserted []string
	made.insert = func(file, parameters string) error {
		mutex.Lock()
		defer mutex.Unlock()
		inserted = append(inserted, strings.TrimSpace(Name(file)+" "+parameters))
		return nil
	}
	return made, &inserted
}

func TestLoadOnceWithParameters(t *testing.T) {
	made, inserted := loader(t, "console=ttyS0 virtio_net.napi_tx=1 virtio-net.x=2 quiet root.=3")
	if err := made.LoadAll([]string{"virtio_net", "virtio-net", "net_failover", "built_in"}); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(*inserted, []string{"failover", "net_failover", "virtio_net napi_tx=1 x=2"}) {
		t.Error(*inserted)
	}
}

func TestLoadTellsWhichModuleFailed(t *testing.T) {
	made, _ := loader(t, "")
	made.insert = func(file, _ string) error {
		if Name(file) == "failover" {
			return errors.New("no")
		}
		return nil
	}
	err := made.Load("virtio_net", "virtio_rng")
	if err == nil || err.Error() != "kernel module failover: no" {
		t.Error(err)
	}
}

func TestFind(t *testing.T) {
	made, _ := loader(t, "")
	for name, expected := range map[string][]string{
		"virtio-rng": {"virtio-rng"}, "rtnl-link-veth": {"a"}, "nothing": nil,
	} {
		if got, err := made.Find(name); err != nil || !reflect.DeepEqual(got, expected) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestColdplugFollowsNewDevices(t *testing.T) {
	made, inserted := loader(t, "")
	sysfs := t.TempDir()
	device := func(bus, name, alias string) {
		directory := filepath.Join(sysfs, "bus", bus, "devices", name)
		if err := errors.Join(os.MkdirAll(directory, 0o700),
			os.WriteFile(filepath.Join(directory, "modalias"), []byte(alias+"\n"), 0o600)); err != nil {
			t.Error(err)
		}
	}
	device("virtio", "virtio0", "virtio:d00000004v00001AF4")
	device("pci", "0000:00:01.0", "pci:v00008086d00007010sv0sd0bc01sc01i80")
	record := made.insert
	made.insert = func(file, parameters string) error {
		if Name(file) == "virtio_rng" {
			device("virtio", "virtio1", "virtio:d00000001v00001AF4")
		}
		return record(file, parameters)
	}
	loaded, err := made.Coldplug(sysfs)
	if err != nil || !reflect.DeepEqual(loaded, []string{"virtio_rng", "virtio_net"}) {
		t.Error(loaded, err)
	}
	if !slices.Contains(*inserted, "virtio_net") {
		t.Error(*inserted)
	}
}

func TestNothingToLoad(t *testing.T) {
	made, err := Open(filepath.Join(t.TempDir(), "none"), "")
	if err != nil {
		t.Fatal(err)
	}
	if loaded, err := made.Coldplug("/sys"); len(loaded) != 0 || err != nil {
		t.Error(loaded, err)
	}
	if err := made.Load("loop"); err != nil {
		t.Error("what is not there is built in:", err)
	}
}

func TestRequest(t *testing.T) {
	if name, ok := Request([]string{"/proc/1/exe", "-q", "--", "fs-ext4"}); !ok || name != "fs-ext4" {
		t.Error(name, ok)
	}
	if _, ok := Request([]string{"/init"}); ok {
		t.Error("no request")
	}
}

// Debian's generic kernel has about 20,000 aliases.
func BenchmarkMatching(b *testing.B) {
	var text strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&text, "alias pci:v%08Xd%08Xsv*sd*bc*sc*i* module%d\n", i%50+0x1000, i, i)
	}
	var devices []string
	for i := range 60 {
		devices = append(devices, fmt.Sprintf("pci:v%08Xd%08Xsv00001AF4sd00000001bc02sc00i00", i%50+0x1000, i*300))
	}
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		Matching(text.String(), devices)
	}
}
