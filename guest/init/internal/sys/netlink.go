package sys

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"unsafe"
)

// Address is an address of a network interface.
type Address struct {
	Interface string
	IP        []byte
	Prefix    int
	// Loopback: of the loopback interface; Global: reachable from outside the link
	Loopback, Global bool
}

func (a Address) String() string {
	return a.Interface + " " + FormatIP(a.IP) + "/" + strconv.Itoa(a.Prefix)
}

// IPv4 tells whether it is an IPv4 address.
func (a Address) IPv4() bool { return len(a.IP) == 4 }

// Addresses lists the addresses of this thread's network namespace.
func Addresses() ([]Address, error) {
	links, err := dump(syscall.RTM_GETLINK)
	if err != nil {
		return nil, err
	}
	type link struct {
		name     string
		loopback bool
	}
	byIndex := map[int32]link{}
	for _, message := range links {
		if message.Header.Type != syscall.RTM_NEWLINK || len(message.Data) < syscall.SizeofIfInfomsg {
			continue
		}
		info := (*syscall.IfInfomsg)(unsafe.Pointer(&message.Data[0]))
		name := string(trimZero(attribute(message, syscall.IFLA_IFNAME)))
		byIndex[info.Index] = link{name, info.Flags&syscall.IFF_LOOPBACK != 0}
	}
	messages, err := dump(syscall.RTM_GETADDR)
	if err != nil {
		return nil, err
	}
	var found []Address
	for _, message := range messages {
		if message.Header.Type != syscall.RTM_NEWADDR || len(message.Data) < syscall.SizeofIfAddrmsg {
			continue
		}
		info := (*syscall.IfAddrmsg)(unsafe.Pointer(&message.Data[0]))
		// on a point-to-point link IFA_ADDRESS is the peer's
		ip := attribute(message, syscall.IFA_LOCAL)
		if ip == nil {
			ip = attribute(message, syscall.IFA_ADDRESS)
		}
		if len(ip) != 4 && len(ip) != 16 {
			continue
		}
		on := byIndex[int32(info.Index)]
		global := info.Scope == syscall.RT_SCOPE_UNIVERSE
		found = append(found, Address{on.name, ip, int(info.Prefixlen), on.loopback, global})
	}
	return found, nil
}

func dump(request int) ([]syscall.NetlinkMessage, error) {
	data, err := syscall.NetlinkRIB(request, syscall.AF_UNSPEC)
	if err != nil {
		return nil, os.NewSyscallError("netlink", err)
	}
	return syscall.ParseNetlinkMessage(data)
}

func attribute(message syscall.NetlinkMessage, kind uint16) []byte {
	attributes, err := syscall.ParseNetlinkRouteAttr(&message)
	if err != nil {
		return nil
	}
	for _, each := range attributes {
		if each.Attr.Type == kind {
			return each.Value
		}
	}
	return nil
}

func trimZero(text []byte) []byte {
	for i, c := range text {
		if c == 0 {
			return text[:i]
		}
	}
	return text
}

// FormatIP writes an address as people do; IPv6 with its longest run of zeros shortened (RFC 5952).
func FormatIP(ip []byte) string {
	if len(ip) == 4 {
		return fmt.Sprintf("%d.%d.%d.%d", ip[0], ip[1], ip[2], ip[3])
	}
	var groups [8]uint16
	for i := range groups {
		groups[i] = binary.BigEndian.Uint16(ip[2*i:])
	}
	from, length := -1, 1
	for i := 0; i < 8; i++ {
		end := i
		for end < 8 && groups[end] == 0 {
			end++
		}
		if end-i > length {
			from, length = i, end-i
		}
	}
	text := ""
	for i := 0; i < 8; i++ {
		if i == from {
			text += "::"
			i += length - 1
			continue
		}
		if i > 0 && i != from+length {
			text += ":"
		} else if from == -1 && i > 0 {
			text += ":"
		}
		text += strconv.FormatUint(uint64(groups[i]), 16)
	}
	return text
}

const (
	iflaNetNSPid   = 19
	iflaLinkInfo   = 18
	iflaInfoKind   = 1
	iflaInfoData   = 2
	vethInfoPeer   = 1
	nlaHeaderSize  = 4
	nlmsgAlignment = 4
)

// LinkUp brings the interface up.
func LinkUp(name string) error {
	info := syscall.IfInfomsg{Flags: syscall.IFF_UP, Change: syscall.IFF_UP}
	return linkRequest("bring up "+name, syscall.RTM_NEWLINK, 0, info, stringAttribute(syscall.IFLA_IFNAME, name))
}

// LinkMove moves an interface into the network namespace of process pid.
func LinkMove(name string, pid int) error {
	return linkRequest("move "+name, syscall.RTM_NEWLINK, 0, syscall.IfInfomsg{},
		stringAttribute(syscall.IFLA_IFNAME, name), numberAttribute(iflaNetNSPid, pid))
}

// LinkAdd makes an interface of a kind (ip-link(8)); peer is the other end of a veth pair and stays here. With pid the
// interface is made in the network namespace of that process, else here.
func LinkAdd(name, kind, peer string, pid int) error {
	information := stringAttribute(iflaInfoKind, kind)
	if peer != "" {
		end := append(ifInfo(syscall.IfInfomsg{}), stringAttribute(syscall.IFLA_IFNAME, peer)...)
		information = append(information, rawAttribute(iflaInfoData, rawAttribute(vethInfoPeer, end))...)
	}
	attributes := [][]byte{stringAttribute(syscall.IFLA_IFNAME, name), rawAttribute(iflaLinkInfo, information)}
	if pid != 0 {
		attributes = append(attributes, numberAttribute(iflaNetNSPid, pid))
	}
	return linkRequest("add "+name, syscall.RTM_NEWLINK, syscall.NLM_F_CREATE|syscall.NLM_F_EXCL, syscall.IfInfomsg{}, attributes...)
}

func stringAttribute(kind uint16, text string) []byte {
	return rawAttribute(kind, append([]byte(text), 0))
}

func numberAttribute(kind uint16, value int) []byte {
	return rawAttribute(kind, binary.NativeEndian.AppendUint32(nil, uint32(value)))
}

func rawAttribute(kind uint16, value []byte) []byte {
	data := binary.NativeEndian.AppendUint16(nil, uint16(nlaHeaderSize+len(value)))
	data = binary.NativeEndian.AppendUint16(data, kind)
	data = append(data, value...)
	for len(data)%nlmsgAlignment != 0 {
		data = append(data, 0)
	}
	return data
}

func ifInfo(info syscall.IfInfomsg) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&info)), syscall.SizeofIfInfomsg)
}

// linkRequest sends one request and waits for the kernel's answer to it.
func linkRequest(what string, kind, flags uint16, info syscall.IfInfomsg, attributes ...[]byte) error {
	body := append([]byte(nil), ifInfo(info)...)
	for _, each := range attributes {
		body = append(body, each...)
	}
	if err := exchange(netlinkMessage(kind, flags|syscall.NLM_F_REQUEST|syscall.NLM_F_ACK, body)); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// netlinkMessage puts struct nlmsghdr before a body.
func netlinkMessage(kind, flags uint16, body []byte) []byte {
	message := binary.NativeEndian.AppendUint32(nil, uint32(syscall.NLMSG_HDRLEN+len(body)))
	message = binary.NativeEndian.AppendUint16(message, kind)
	message = binary.NativeEndian.AppendUint16(message, flags)
	message = binary.NativeEndian.AppendUint32(message, 1)
	message = binary.NativeEndian.AppendUint32(message, 0)
	return append(message, body...)
}

func exchange(message []byte) error {
	socket, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer syscall.Close(socket)
	if err := syscall.Sendto(socket, message, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 8192)
	n, _, err := syscall.Recvfrom(socket, answer, 0)
	if err != nil {
		return err
	}
	messages, err := syscall.ParseNetlinkMessage(answer[:n])
	if err != nil {
		return err
	}
	for _, each := range messages {
		if each.Header.Type == syscall.NLMSG_ERROR && len(each.Data) >= 4 {
			if code := int32(binary.NativeEndian.Uint32(each.Data)); code != 0 {
				return syscall.Errno(-code)
			}
			return nil
		}
	}
	return errors.New("no answer from the kernel")
}
