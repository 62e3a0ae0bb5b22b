package sys

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

func TestParseMountOptions(t *testing.T) {
	cases := []struct {
		options            string
		flags, propagation uintptr
		data               string
	}{
		{"", 0, 0, ""},
		{"ro,nosuid,size=65536k,mode=755", syscall.MS_RDONLY | syscall.MS_NOSUID, 0, "size=65536k,mode=755"},
		{"rw,rbind,rshared", syscall.MS_BIND | syscall.MS_REC, syscall.MS_SHARED | syscall.MS_REC, ""},
		{"noexec,exec,defaults,strictatime", syscall.MS_STRICTATIME, 0, ""},
		{"lowerdir=/a:/b,upperdir=/u", 0, 0, "lowerdir=/a:/b,upperdir=/u"},
	}
	for _, each := range cases {
		flags, propagation, data := ParseMountOptions(strings.Split(each.options, ","))
		if flags != each.flags || propagation != each.propagation || data != each.data {
			t.Errorf("%s: %x %x %q", each.options, flags, propagation, data)
		}
	}
}

func TestParseMountInfo(t *testing.T) {
	// captured from a system that hullkit booted; the last is proc_pid_mountinfo(5)'s way with odd names
	const text = `28 1 0:23 / / ro,relatime shared:1 - overlay overlay ro,lowerdir=/run/hull/layers/gen/root:/run/hull/layers/libc
23 28 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:2 - proc proc rw
30 26 7:0 / /run/hull/layers/libc ro,relatime shared:9 - erofs /dev/loop0 ro,user_xattr,acl,cache_strategy=readaround
99 28 0:50 / /mnt/with\040space\134 rw shared:3 master:4 - tmpfs tmp\040fs rw
damaged line
`
	expected := []MountPoint{
		{"/", "overlay", true}, {"/proc", "proc", false}, {"/run/hull/layers/libc", "erofs", true}, {`/mnt/with space\`, "tmpfs", false},
	}
	if got := ParseMountInfo(text); !reflect.DeepEqual(got, expected) {
		t.Errorf("%+v", got)
	}
	own, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || len(ParseMountInfo(string(own))) == 0 {
		t.Error(err)
	}
}

func TestFormatIPIsTheUsualOne(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		ip := make([]byte, []int{4, 16}[random.IntN(2)])
		for i := range ip {
			// many zeros: their longest run is shortened
			ip[i] = byte(random.IntN(256) * random.IntN(2) * random.IntN(2))
		}
		if len(ip) == 16 && ip[10] == 0xff && ip[11] == 0xff {
			continue // net.IP writes mapped addresses as IPv4
		}
		if got, expected := FormatIP(ip), net.IP(ip).String(); len(ip) == 4 && got != expected ||
			len(ip) == 16 && net.IP(ip).To4() == nil && got != expected {
			t.Fatalf("%x is %s instead of %s", ip, got, expected)
		}
	}
	if got := (Address{Interface: "eth0", IP: []byte{10, 0, 2, 15}, Prefix: 24}).String(); got != "eth0 10.0.2.15/24" {
		t.Error(got)
	}
}

func TestDialLocal(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Log("skipped:", err)
			continue
		}
		port := listener.Addr().(*net.TCPAddr).Port
		go func() {
			connection, err := listener.Accept()
			if err == nil {
				fmt.Fprint(connection, "hello")
				connection.Close()
			}
		}()
		file, err := DialLocal(port, time.Now().Add(5*time.Second))
		if err != nil {
			t.Fatal(address, err)
		}
		text := make([]byte, 10)
		if n, err := file.Read(text); string(text[:n]) != "hello" {
			t.Error(address, string(text[:n]), err)
		}
		file.Close()
		listener.Close()
		if _, err := DialLocal(port, time.Now().Add(5*time.Second)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Error("nobody listens:", err)
		}
	}
}

func TestReadsHaveADeadline(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	file, err := DialLocal(listener.Addr().(*net.TCPAddr).Port, time.Now().Add(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

func TestOpenInRootStaysInside(t *testing.T) {
	root := t.TempDir()
	if err := errors.Join(
		os.MkdirAll(filepath.Join(root, "etc"), 0o700),
		os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("inside"), 0o600),
		os.Symlink("/etc", filepath.Join(root, "link")),
		os.Symlink("../../../../../../etc/passwd", filepath.Join(root, "up")),
	); err != nil {
		t.Fatal(err)
	}
	top, err := OpenPath(root)
	if err != nil {
		t.Fatal(err)
	}
	defer top.Close()
	for _, path := range []string{"etc/passwd", "/etc/passwd", "link/passwd", "up", "../../etc/passwd"} {
		file, err := OpenInRoot(top, path, os.O_RDONLY, 0)
		if errors.Is(err, syscall.ENOSYS) {
			t.Skip("this kernel has no openat2")
		}
		if err != nil {
			t.Fatal(path, err)
		}
		text := make([]byte, 20)
		if n, _ := file.Read(text); string(text[:n]) != "inside" {
			t.Errorf("%s leads outside: %q", path, text[:n])
		}
		file.Close()
	}
	if _, err := OpenInRoot(top, "nothing", os.O_RDONLY, 0); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestSizesOfKernelStructures(t *testing.T) {
	// include/uapi/linux/loop.h and openat2.h
	if size := unsafe.Sizeof(loopConfig{}); size != 304 {
		t.Error("struct loop_config has", size, "bytes")
	}
	// include/uapi/linux/dm-ioctl.h
	if size := unsafe.Sizeof(dmHeader{}); size != 312 {
		t.Error("struct dm_ioctl has", size, "bytes")
	}
	if size := unsafe.Sizeof(dmTarget{}); size != 40 {
		t.Error("struct dm_target_spec has", size, "bytes")
	}
	if size := unsafe.Sizeof(openHow{}); size != 24 {
		t.Error("struct open_how has", size, "bytes")
	}
}

func TestACPIEvents(t *testing.T) {
	class := append([]byte("button/power"), make([]byte, 8+15+1+8)...)
	event := netlinkMessage(26, 0, append([]byte{1, 1, 0, 0}, rawAttribute(acpiAttrEvent, class)...))
	if got := acpiClass(event); got != "button/power" {
		t.Errorf("%q", got)
	}
	for _, damaged := range [][]byte{nil, event[:10], event[:21], netlinkMessage(26, 0, []byte{1, 1}), netlinkMessage(syscall.NLMSG_ERROR, 0, event)} {
		if got := acpiClass(damaged); got != "" {
			t.Errorf("%x is %q", damaged, got)
		}
	}
	if list := attributeList([]byte{8, 0, 1, 0, 'a', 'b', 'c', 'd', 5, 0, 2, 0x80, 'e', 0, 0, 0, 2, 0, 1, 0}); len(list) != 2 ||
		list[1].kind != 2 || string(list[1].value) != "e" {
		t.Errorf("%v", list)
	}
}

func TestUname(t *testing.T) {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil || Uname() != strings.TrimSpace(string(release)) {
		t.Error(Uname(), string(release), err)
	}
}

const insideKey = "HULLKIT_TEST_INSIDE"

func TestMain(m *testing.M) {
	if os.Getenv(insideKey) != "" {
		if err := inside(); err != nil {
			fmt.Println("inside:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// inside runs in namespaces of its own, where it may set up interfaces.
func inside() error {
	if addresses, err := Addresses(); err != nil || len(addresses) != 0 {
		return fmt.Errorf("addresses before: %v, %w", addresses, err)
	}
	if err := LinkUp("lo"); err != nil {
		return err
	}
	addresses, err := Addresses()
	if err != nil {
		return err
	}
	if len(addresses) == 0 || addresses[0].String() != "lo 127.0.0.1/8" || !addresses[0].Loopback || !addresses[0].IPv4() {
		return fmt.Errorf("addresses: %v", addresses)
	}
	if err := LinkUp("none"); err == nil || !strings.Contains(err.Error(), "bring up none") {
		return fmt.Errorf("an interface that is not there: %w", err)
	}
	return insideLinks()
}

func insideLinks() error {
	switch err := LinkAdd("a", "veth", "b", 0); {
	case errors.Is(err, syscall.EOPNOTSUPP):
		return nil // no veth in this kernel
	case err != nil:
		return err
	}
	if err := errors.Join(LinkUp("a"), LinkUp("b")); err != nil {
		return err
	}
	if err := LinkAdd("a", "veth", "c", 0); !errors.Is(err, syscall.EEXIST) {
		return fmt.Errorf("an interface was made twice: %w", err)
	}
	child := exec.Command("/bin/sleep", "100")
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := child.Start(); err != nil {
		return err
	}
	defer child.Process.Kill()
	if err := errors.Join(LinkMove("b", child.Process.Pid), LinkAdd("c", "veth", "d", child.Process.Pid)); err != nil {
		return err
	}
	if err := LinkUp("d"); err != nil {
		return fmt.Errorf("the peer stays here: %w", err)
	}
	if LinkUp("b") == nil || LinkUp("c") == nil {
		return errors.New("interfaces were not moved")
	}
	return InNetworkOf(child.Process.Pid, func() error { return errors.Join(LinkUp("b"), LinkUp("c"), LinkUp("lo")) })
}

func TestInterfaces(t *testing.T) {
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), insideKey+"=1")
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	output, err := command.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) {
		t.Skip("no user namespaces here:", err)
	}
	if err != nil {
		t.Errorf("%v: %s", err, output)
	}
}
