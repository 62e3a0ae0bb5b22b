package report

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Port that something listens on.
type Port struct {
	// Protocol is tcp, tcp6, udp or udp6
	Protocol string
	Address  string
	Port     int
	// Container that has the socket open; "" for a program outside of all containers, or the kernel
	Container string
	// Private: in a network namespace of its own, out of reach of the system's network
	Private bool
}

// socketStates of /proc/net: a TCP socket that listens, a UDP socket that is not connected (include/net/tcp_states.h).
var socketStates = map[string]string{"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"}

type socket struct {
	Port
	inode string
}

// Listening finds the listening sockets of all processes below procfs; cgroups maps directories of cgroups to the
// containers that they are of.
func Listening(procfs string, cgroups map[string]string) []Port {
	own, _ := os.Readlink(filepath.Join(procfs, "1/ns/net"))
	namespaces := map[string]bool{}
	var sockets []socket
	owners := map[string]string{}
	entries, _ := os.ReadDir(procfs)
	for _, entry := range entries {
		if _, err := strconv.Atoi(entry.Name()); err != nil {
			continue
		}
		process := filepath.Join(procfs, entry.Name())
		namespace, err := os.Readlink(filepath.Join(process, "ns/net"))
		if err != nil {
			continue // it has ended
		}
		if !namespaces[namespace] {
			namespaces[namespace] = true
			sockets = append(sockets, readSockets(filepath.Join(process, "net"), namespace != own)...)
		}
		claim(owners, process, cgroups)
	}
	found := []Port{}
	for _, each := range sockets {
		each.Container = owners[each.inode]
		if !slices.Contains(found, each.Port) {
			found = append(found, each.Port)
		}
	}
	slices.SortFunc(found, func(a, b Port) int {
		if order := strings.Compare(a.Container+"\x00"+a.Protocol, b.Container+"\x00"+b.Protocol); order != 0 {
			return order
		}
		if a.Port != b.Port {
			return a.Port - b.Port
		}
		return strings.Compare(a.Address, b.Address)
	})
	return found
}

// claim notes the sockets that a process of a container has open.
func claim(owners map[string]string, process string, cgroups map[string]string) {
	container := containerOf(process, cgroups)
	if container == "" {
		return
	}
	descriptors, _ := os.ReadDir(filepath.Join(process, "fd"))
	for _, descriptor := range descriptors {
		target, _ := os.Readlink(filepath.Join(process, "fd", descriptor.Name()))
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			owners[strings.TrimSuffix(inode, "]")] = container
		}
	}
}

func containerOf(process string, cgroups map[string]string) string {
	text, _ := os.ReadFile(filepath.Join(process, "cgroup"))
	for line := range strings.Lines(string(text)) {
		path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		for directory := "/sys/fs/cgroup" + path; ok && directory != "/"; directory = filepath.Dir(directory) {
			if container := cgroups[directory]; container != "" {
				return container
			}
		}
	}
	return ""
}

func readSockets(directory string, private bool) []socket {
	var found []socket
	for _, protocol := range []string{"tcp", "tcp6", "udp", "udp6"} {
		text, _ := os.ReadFile(filepath.Join(directory, protocol))
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) < 10 || fields[3] != socketStates[protocol] {
				continue
			}
			if address, ok := parseSocketAddress(fields[1]); ok {
				port := Port{Protocol: protocol, Address: address.Addr().String(), Port: int(address.Port()), Private: private}
				found = append(found, socket{port, fields[9]})
			}
		}
	}
	return found
}

// parseSocketAddress reads "0100007F:0016" of /proc/net/tcp: 32-bit words in the byte order of the machine
// (net/ipv4/tcp_ipv4.c, get_tcp4_sock).
func parseSocketAddress(text string) (netip.AddrPort, bool) {
	words, number, _ := strings.Cut(text, ":")
	bytes, err := hex.DecodeString(words)
	port, portErr := strconv.ParseUint(number, 16, 16)
	if err != nil || portErr != nil || len(bytes)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for at := 0; at < len(bytes); at += 4 {
		binary.NativeEndian.PutUint32(bytes[at:], binary.BigEndian.Uint32(bytes[at:]))
	}
	address, ok := netip.AddrFromSlice(bytes)
	return netip.AddrPortFrom(address.Unmap(), uint16(port)), ok
}
