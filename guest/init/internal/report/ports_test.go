package report

import (
	"net"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

const tcpTable = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 501 1 0 100 0 0 10 0
   1: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 502 1 0 100 0 0 10 0
   2: 0100007F:0016 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 503 1 0 100 0 0 10 0
   3: nonsense
`

func procfs(t *testing.T, processes map[string]map[string]string, links map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for process, files := range processes {
		for name, text := range files {
			path := filepath.Join(root, process, name)
			os.MkdirAll(filepath.Dir(path), 0o700)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, target := range links {
		path := filepath.Join(root, name)
		os.MkdirAll(filepath.Dir(path), 0o700)
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// The words of the addresses are those of a little-endian machine, as are the tests'.
func TestListening(t *testing.T) {
	udp := "head\n 0: 00000000:0044 00000000:0000 07 0:0 0:0 0 0 0 601 2\n"
	root := procfs(t, map[string]map[string]string{
		"1":   {"net/tcp": tcpTable, "cgroup": "0::/\n"},
		"20":  {"net/tcp": tcpTable, "cgroup": "0::/services/web/worker\n"},
		"30":  {"net/udp": udp, "cgroup": "0::/dhcpcd\n"},
		"sys": {"x": ""},
	}, map[string]string{
		"1/ns/net": "net:[1]", "20/ns/net": "net:[1]", "30/ns/net": "net:[9]",
		"20/fd/3": "socket:[501]", "30/fd/4": "socket:[601]", "30/fd/5": "/dev/null",
	})
	expected := []Port{
		{"tcp", "127.0.0.1", 22, "", false},
		{"udp", "0.0.0.0", 68, "dhcpcd", true},
		{"tcp", "0.0.0.0", 80, "web", false},
	}
	got := Listening(root, map[string]string{"/sys/fs/cgroup/services/web": "web", "/sys/fs/cgroup/dhcpcd": "dhcpcd"})
	if !reflect.DeepEqual(got, expected) {
		t.Errorf("%+v", got)
	}
}

func TestListeningHere(t *testing.T) {
	listener, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip(err)
	}
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	for _, each := range readSockets("/proc/self/net", false) {
		if each.Protocol == "tcp6" && each.Address == "::1" && each.Port.Port == port {
			return
		}
	}
	t.Errorf("port %d was not found", port)
}
