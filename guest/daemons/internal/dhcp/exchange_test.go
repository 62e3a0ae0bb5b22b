package dhcp

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"hullkit/guest/daemons/internal/sys"
)

const inside = "HULLKIT_TEST_INSIDE"

// inNamespace runs a test again in a user and a network namespace of its own, and tells whether this is that run.
func inNamespace(t *testing.T) bool {
	if os.Getenv(inside) != "" {
		return true
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs ip of iproute2")
	}
	again := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	again.Env = append(os.Environ(), inside+"=1")
	again.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	out, err := again.CombinedOutput()
	if err != nil && len(out) == 0 {
		t.Skip("no namespaces here: ", err)
	}
	t.Logf("%s", out)
	if err != nil {
		t.Fail()
	}
	return false
}

func ip(t *testing.T, command string) string {
	t.Helper()
	out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v: %s", command, err, out)
	}
	return string(out)
}

// testServer is a DHCP server in another network namespace, at the other end of a veth pair; its UDP socket is the
// kernel's. What it says is up to the test.
type testServer struct {
	*testing.T
	conn  *net.UDPConn
	heard chan *Message
	// do runs something in the server's namespace
	do func(what func())
}

func startServer(t *testing.T) *testServer {
	// as a file: the thread that leaves this namespace may be the process's first
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	work := make(chan func())
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		for each := range work {
			each()
		}
	}()
	s := &testServer{T: t, heard: make(chan *Message, 16), do: func(what func()) {
		done := make(chan bool)
		work <- func() { defer close(done); what() }
		<-done
	}}
	s.do(func() {
		if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
			t.Error(err)
			return
		}
		ip(t, "link add s0 type veth peer name c0 netns /proc/"+strconv.Itoa(os.Getpid())+"/fd/"+strconv.Itoa(int(own.Fd())))
		ip(t, "address add 10.9.0.1/24 dev s0")
		ip(t, "address add 10.9.0.66/24 dev s0")
		ip(t, "link set s0 up")
		config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
			return raw.Control(func(fd uintptr) {
				syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_BROADCAST, 1)
				syscall.SetsockoptString(int(fd), syscall.SOL_SOCKET, syscall.SO_BINDTODEVICE, "s0")
			})
		}}
		conn, err := config.ListenPacket(t.Context(), "udp4", ":67")
		if err != nil {
			t.Error(err)
			return
		}
		s.conn = conn.(*net.UDPConn)
	})
	if s.conn == nil {
		t.FailNow()
	}
	go func() {
		buffer := make([]byte, 2048)
		for {
			n, from, err := s.conn.ReadFromUDP(buffer)
			if err != nil {
				return
			}
			m, err := parseMessage(buffer[:n])
			if err != nil {
				t.Error(err)
				return
			}
			if !m.CIAddr.zero() && from.IP.String() != m.CIAddr.String() {
				t.Errorf("sent from %s, not from its address", from)
			}
			s.heard <- m
		}
	}()
	return s
}

func (s *testServer) expect(kind byte) *Message {
	s.Helper()
	select {
	case m := <-s.heard:
		if m.kind() != kind {
			s.Fatalf("message type %d, not %d", m.kind(), kind)
		}
		return m
	case <-time.After(10 * time.Second):
		s.Fatalf("no message of type %d", kind)
		return nil
	}
}

// answer gives an address for 10 s, to be renewed after 1 s and rebound after 2 s.
func (s *testServer) answer(to *Message, kind byte, give IP, target string) {
	m := &Message{Op: bootReply, XID: to.XID, YIAddr: give, MAC: to.MAC}
	m.add(optType, kind)
	m.add(optServer, 10, 9, 0, 1)
	if kind != nak {
		m.add(optMask, 255, 255, 255, 0)
		m.add(optLeaseTime, seconds(10)...)
		m.add(optT1, seconds(1)...)
		m.add(optT2, seconds(2)...)
		m.add(optRouter, 10, 9, 0, 99)
		m.add(optStaticRoutes, 0, 10, 9, 0, 1, 24, 172, 16, 5, 0, 0, 0, 0, 32, 192, 0, 2, 1, 10, 8, 0, 1)
		m.add(optDNS, 10, 9, 0, 1)
		m.add(optDomain, []byte("example.org")...)
		m.add(optMTU, 0x05, 0x78)
	}
	s.do(func() {
		eventually(s.T, "the server's interface is running", func() bool { return strings.Contains(ip(s.T, "link show s0"), "state UP") })
	})
	if _, err := s.conn.WriteToUDP(m.bytes(), &net.UDPAddr{IP: net.ParseIP(target), Port: clientPort}); err != nil {
		s.Error(err)
	}
}

// eventually waits for something that the client does after the server's answer.
func eventually(t *testing.T, what string, true func() bool) {
	t.Helper()
	for range 100 {
		if true() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("not so: %s", what)
}

func addresses(t *testing.T) []string {
	t.Helper()
	addrs, err := sys.Addrs()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, each := range addrs {
		if each.Protocol == byDHCP {
			list = append(list, IP(each.IP).String())
		}
	}
	return list
}

// TestExchange: a whole life with a server, by real packets.
func TestExchange(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s := startServer(t)
	ip(t, "link set lo up")
	written := files{filepath.Join(t.TempDir(), "status"), filepath.Join(t.TempDir(), "resolv.conf")}
	ended := make(chan error, 1)
	go func() { ended <- run(Options{Interfaces: []string{"c0"}}, written) }()
	first, second := IP{10, 9, 0, 20}, IP{10, 9, 0, 21}
	everybody := "255.255.255.255"

	asked := s.expect(discover)
	s.answer(asked, offer, first, everybody)
	s.answer(s.expect(request), ack, first, everybody)
	// half a second of probing, then T1
	renewal := s.expect(request)
	if renewal.CIAddr != first {
		t.Errorf("renewal of %v", renewal.CIAddr)
	}
	s.answer(renewal, ack, first, first.String())
	checkConfigured(t, written)
	silent := s.expect(request)
	if silent.XID == renewal.XID {
		t.Error("the answer to the renewal was not heard")
	}
	// no answer until T2: then any server is asked
	rebind := s.expect(request)
	if rebind.XID != silent.XID || rebind.CIAddr != first {
		t.Errorf("%+v", rebind)
	}
	s.answer(rebind, nak, IP{}, everybody)
	eventually(t, "the address is gone", func() bool { return len(addresses(t)) == 0 })
	if text, err := status(written.status, sys.Now()); err != errNoLease {
		t.Errorf("status %q, %v", text, err)
	}

	// an address that the server itself has: its kernel answers the probe
	s.answer(s.expect(discover), offer, IP{10, 9, 0, 66}, everybody)
	s.answer(s.expect(request), ack, IP{10, 9, 0, 66}, everybody)
	if m := s.expect(decline); !slices.Equal(m.get(optRequestedIP), []byte{10, 9, 0, 66}) {
		t.Errorf("%+v", m)
	}

	// the cable is pulled and put back, which ends the pause after a conflict
	s.do(func() { ip(t, "link set s0 down") })
	time.Sleep(300 * time.Millisecond)
	s.do(func() { ip(t, "link set s0 up") })
	s.answer(s.expect(discover), offer, second, everybody)
	s.answer(s.expect(request), ack, second, everybody)
	eventually(t, "the second address is there", func() bool { return slices.Equal(addresses(t), []string{second.String()}) })
	select {
	case err := <-ended:
		t.Errorf("the client ended: %v", err)
	default:
	}
}

func checkConfigured(t *testing.T, written files) {
	t.Helper()
	if got := addresses(t); !slices.Equal(got, []string{"10.9.0.20"}) {
		t.Errorf("addresses %v", got)
	}
	show := ip(t, "address show dev c0")
	for _, want := range []string{"mtu 1400", "10.9.0.20/24 brd 10.9.0.255", "valid_lft"} {
		if !strings.Contains(show, want) {
			t.Errorf("no %q in %s", want, show)
		}
	}
	routes := ip(t, "route show")
	for _, want := range []string{
		"default via 10.9.0.1 dev c0 proto dhcp src 10.9.0.20 metric",
		"172.16.5.0/24 dev c0 proto dhcp scope link src 10.9.0.20",
		"192.0.2.1 via 10.8.0.1 dev c0 proto dhcp src 10.9.0.20 metric",
	} {
		if !strings.Contains(routes, want) {
			t.Errorf("no %q in %s", want, routes)
		}
	}
	resolver, _ := os.ReadFile(written.resolver)
	if string(resolver) != "search example.org\nnameserver 10.9.0.1\n" {
		t.Errorf("resolv.conf: %q", resolver)
	}
	text, err := status(written.status, sys.Now())
	for _, want := range []string{"interface=c0\naddress=10.9.0.20/24\nserver=10.9.0.1\nrouter=10.9.0.1\nnameservers=10.9.0.1\n", "domain=example.org\nmtu=1400\nexpires="} {
		if err != nil || !strings.Contains(text, want) {
			t.Errorf("no %q in %q, %v", want, text, err)
		}
	}
}

// TestOneshot: it ends with the lease, and fails without one. What an earlier run left is replaced.
func TestOneshot(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s := startServer(t)
	written := files{filepath.Join(t.TempDir(), "status"), filepath.Join(t.TempDir(), "resolv.conf")}
	options := Options{Interfaces: []string{"c0"}, Oneshot: true, NoARP: true, Timeout: sys.Second}
	if err := run(options, written); err != errTimeout {
		t.Errorf("without a server: %v", err)
	}
	for _, give := range []IP{{10, 9, 0, 20}, {10, 9, 0, 30}} {
		for len(s.heard) > 0 {
			<-s.heard
		}
		go func() {
			s.answer(s.expect(discover), offer, give, "255.255.255.255")
			s.answer(s.expect(request), ack, give, "255.255.255.255")
		}()
		options.Timeout = 10 * sys.Second
		if err := run(options, written); err != nil {
			t.Error(err)
		}
		if got := addresses(t); !slices.Equal(got, []string{give.String()}) {
			t.Errorf("addresses %v", got)
		}
	}
	if routes := ip(t, "route show default"); strings.Count(routes, "\n") != 1 || !strings.Contains(routes, "src 10.9.0.30") {
		t.Errorf("routes %s", routes)
	}
}

// TestAFileKeepsItsPlace: containers have bound the file itself, and readers never find it empty.
func TestAFileKeepsItsPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	if err := writeWhole(path, "nameserver 10.0.0.100\n"); err != nil {
		t.Fatal(err)
	}
	before, _ := os.Stat(path)
	var wait sync.WaitGroup
	stop := make(chan bool)
	wait.Add(1)
	go func() {
		defer wait.Done()
		for {
			select {
			case <-stop:
				return
			default:
			}
			if text, _ := os.ReadFile(path); len(text) < len("nameserver 10.0.0.1\n") {
				t.Errorf("read %q", text)
				return
			}
		}
	}()
	for range 2000 {
		writeWhole(path, "nameserver 10.0.0.100\n")
		writeWhole(path, "nameserver 10.0.0.1\n")
	}
	close(stop)
	wait.Wait()
	after, _ := os.Stat(path)
	if text, _ := os.ReadFile(path); !os.SameFile(before, after) || string(text) != "nameserver 10.0.0.1\n" {
		t.Errorf("%q, the same file: %v", text, os.SameFile(before, after))
	}
}
