package sys

import (
	"encoding/binary"
	"errors"
	"syscall"
	"unsafe"
)

// Link is a network interface.
type Link struct {
	Index int
	Name  string
	// Kind of a virtual interface (IFLA_INFO_KIND: veth, bridge, vlan, ...); empty for a device
	Kind string
	// Hardware: ARPHRD_ETHER and so on
	Hardware uint16
	Flags    uint32
	Master   bool // it is a port of another interface
	MAC      []byte
	MTU      int
}

const (
	iflaLinkInfo = 18
	iflaInfoKind = 1
	lowerUp      = 0x10000 // IFF_LOWER_UP: there is a carrier
)

// Up tells whether it is switched on.
func (l *Link) Up() bool { return l.Flags&syscall.IFF_UP != 0 }

// Carrier tells whether it is connected, and so that packets go out: up to a second after there is a carrier the kernel
// still throws them away, until it says that the interface is running (net/core/link_watch.c).
func (l *Link) Carrier() bool {
	const all = syscall.IFF_UP | syscall.IFF_RUNNING | lowerUp
	return l.Flags&all == all
}

// Links lists the network interfaces.
func Links() ([]Link, error) {
	var found []Link
	err := dump(syscall.RTM_GETLINK, syscall.AF_UNSPEC, syscall.RTM_NEWLINK, syscall.SizeofIfInfomsg, func(data []byte) {
		info := (*syscall.IfInfomsg)(unsafe.Pointer(&data[0]))
		link := Link{Index: int(info.Index), Hardware: info.Type, Flags: info.Flags}
		Attributes(data[syscall.SizeofIfInfomsg:], func(kind uint16, value []byte) {
			switch kind {
			case syscall.IFLA_IFNAME:
				link.Name = zeroEnded(value)
			case syscall.IFLA_ADDRESS:
				link.MAC = append([]byte(nil), value...)
			case syscall.IFLA_MTU:
				link.MTU = number(value)
			case syscall.IFLA_MASTER:
				link.Master = number(value) != 0
			case iflaLinkInfo:
				Attributes(value, func(kind uint16, value []byte) {
					if kind == iflaInfoKind {
						link.Kind = zeroEnded(value)
					}
				})
			}
		})
		found = append(found, link)
	})
	return found, err
}

// Addr is an IPv4 address of an interface. Protocol says who set it (IFA_PROTO; 0 on kernels before 5.18).
type Addr struct {
	Index    int
	IP       [4]byte
	Prefix   int
	Protocol byte
}

const ifaProto = 11

// Addrs lists the IPv4 addresses of all interfaces.
func Addrs() ([]Addr, error) {
	var found []Addr
	err := dump(syscall.RTM_GETADDR, syscall.AF_INET, syscall.RTM_NEWADDR, syscall.SizeofIfAddrmsg, func(data []byte) {
		info := (*syscall.IfAddrmsg)(unsafe.Pointer(&data[0]))
		each := Addr{Index: int(info.Index), Prefix: int(info.Prefixlen)}
		Attributes(data[syscall.SizeofIfAddrmsg:], func(kind uint16, value []byte) {
			switch {
			case kind == syscall.IFA_LOCAL && len(value) == 4:
				each.IP = [4]byte(value)
			case kind == ifaProto && len(value) == 1:
				each.Protocol = value[0]
			}
		})
		found = append(found, each)
	})
	return found, err
}

// RouteEntry is an IPv4 route of the main table. The zero Gateway means that hosts are on the link.
type RouteEntry struct {
	Index    int
	Net      [4]byte
	Prefix   int
	Gateway  [4]byte
	Source   [4]byte
	Metric   int
	Protocol byte
}

// Routes lists the IPv4 routes of the main table.
func Routes() ([]RouteEntry, error) {
	var found []RouteEntry
	err := dump(syscall.RTM_GETROUTE, syscall.AF_INET, syscall.RTM_NEWROUTE, syscall.SizeofRtMsg, func(data []byte) {
		info := (*syscall.RtMsg)(unsafe.Pointer(&data[0]))
		if info.Table != syscall.RT_TABLE_MAIN {
			return
		}
		each := RouteEntry{Prefix: int(info.Dst_len), Protocol: info.Protocol}
		Attributes(data[syscall.SizeofRtMsg:], func(kind uint16, value []byte) {
			if len(value) != 4 {
				return
			}
			switch kind {
			case syscall.RTA_OIF:
				each.Index = number(value)
			case syscall.RTA_PRIORITY:
				each.Metric = number(value)
			case syscall.RTA_DST:
				each.Net = [4]byte(value)
			case syscall.RTA_GATEWAY:
				each.Gateway = [4]byte(value)
			case syscall.RTA_PREFSRC:
				each.Source = [4]byte(value)
			}
		})
		found = append(found, each)
	})
	return found, err
}

func dump(request, family int, answer uint16, least int, each func(data []byte)) error {
	data, err := syscall.NetlinkRIB(request, family)
	if err != nil {
		return err
	}
	messages, err := syscall.ParseNetlinkMessage(data)
	if err != nil {
		return err
	}
	for _, message := range messages {
		if message.Header.Type == answer && len(message.Data) >= least {
			each(message.Data)
		}
	}
	return nil
}

const (
	attributeHeader = 4
	attributeType   = 0x3fff // NLA_TYPE_MASK
)

// Attributes calls each for the attributes in data (struct nlattr).
func Attributes(data []byte, each func(kind uint16, value []byte)) {
	for len(data) >= attributeHeader {
		length := int(binary.NativeEndian.Uint16(data))
		if length < attributeHeader || length > len(data) {
			return
		}
		each(binary.NativeEndian.Uint16(data[2:])&attributeType, data[attributeHeader:length])
		data = data[min((length+3)&^3, len(data)):]
	}
}

func zeroEnded(value []byte) string {
	for i, c := range value {
		if c == 0 {
			return string(value[:i])
		}
	}
	return string(value)
}

func number(value []byte) int {
	if len(value) < 4 {
		return 0
	}
	return int(binary.NativeEndian.Uint32(value))
}

// LinkUp switches an interface on.
func LinkUp(index int) error {
	info := syscall.IfInfomsg{Index: int32(index), Flags: syscall.IFF_UP, Change: syscall.IFF_UP}
	return request(syscall.RTM_NEWLINK, 0, fixed(&info))
}

// LinkMTU sets the largest packet of an interface.
func LinkMTU(index, mtu int) error {
	info := syscall.IfInfomsg{Index: int32(index)}
	return request(syscall.RTM_NEWLINK, 0, appendNumber(fixed(&info), syscall.IFLA_MTU, mtu))
}

const forever = 1<<32 - 1 // INFINITY_LIFE_TIME

// AddrSet adds an address or changes its life, after which the kernel takes it away (Never: it stays). last is the
// broadcast address, zero without one.
func AddrSet(addr Addr, last [4]byte, life Time) error {
	seconds := forever
	if life != Never {
		seconds = int(min(max(life/Second, 1), forever-1))
	}
	data := address(addr)
	if last != [4]byte{} {
		data = attribute(data, syscall.IFA_BROADCAST, last[:])
	}
	// struct ifa_cacheinfo: preferred and valid lifetime, two times that only the kernel sets
	var lives []byte
	for _, value := range []int{seconds, seconds, 0, 0} {
		lives = binary.NativeEndian.AppendUint32(lives, uint32(value))
	}
	data = attribute(data, syscall.IFA_CACHEINFO, lives)
	data = attribute(data, ifaProto, []byte{addr.Protocol})
	return request(syscall.RTM_NEWADDR, syscall.NLM_F_CREATE|syscall.NLM_F_REPLACE, data)
}

// AddrDelete takes an address away.
func AddrDelete(addr Addr) error { return request(syscall.RTM_DELADDR, 0, address(addr)) }

func address(addr Addr) []byte {
	info := syscall.IfAddrmsg{Family: syscall.AF_INET, Prefixlen: uint8(addr.Prefix), Index: uint32(addr.Index)}
	return attribute(attribute(fixed(&info), syscall.IFA_LOCAL, addr.IP[:]), syscall.IFA_ADDRESS, addr.IP[:])
}

const nextHopOnLink = 4 // RTNH_F_ONLINK

// RouteSet adds a route, or replaces the one to the same network with the same metric. onLink: the gateway is reached
// though no network of the interface has it.
func RouteSet(route RouteEntry, onLink bool) error {
	return request(syscall.RTM_NEWROUTE, syscall.NLM_F_CREATE|syscall.NLM_F_REPLACE, routeBody(route, onLink))
}

// RouteDelete takes a route away.
func RouteDelete(route RouteEntry) error {
	return request(syscall.RTM_DELROUTE, 0, routeBody(route, false))
}

func routeBody(route RouteEntry, onLink bool) []byte {
	info := syscall.RtMsg{
		Family:   syscall.AF_INET,
		Dst_len:  uint8(route.Prefix),
		Table:    syscall.RT_TABLE_MAIN,
		Protocol: route.Protocol,
		Scope:    syscall.RT_SCOPE_UNIVERSE,
		Type:     syscall.RTN_UNICAST,
	}
	if route.Gateway == [4]byte{} {
		info.Scope = syscall.RT_SCOPE_LINK
	} else if onLink {
		info.Flags = nextHopOnLink
	}
	data := fixed(&info)
	if route.Prefix > 0 {
		data = attribute(data, syscall.RTA_DST, route.Net[:])
	}
	if route.Gateway != [4]byte{} {
		data = attribute(data, syscall.RTA_GATEWAY, route.Gateway[:])
	}
	if route.Source != [4]byte{} {
		data = attribute(data, syscall.RTA_PREFSRC, route.Source[:])
	}
	return appendNumber(appendNumber(data, syscall.RTA_PRIORITY, route.Metric), syscall.RTA_OIF, route.Index)
}

// fixed is the fixed part of a request.
func fixed[T any](info *T) []byte {
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(info)), unsafe.Sizeof(*info))...)
}

func attribute(data []byte, kind uint16, value []byte) []byte {
	data = binary.NativeEndian.AppendUint16(data, uint16(attributeHeader+len(value)))
	data = binary.NativeEndian.AppendUint16(data, kind)
	data = append(data, value...)
	for len(data)%4 != 0 {
		data = append(data, 0)
	}
	return data
}

func appendNumber(data []byte, kind uint16, value int) []byte {
	return attribute(data, kind, binary.NativeEndian.AppendUint32(nil, uint32(value)))
}

// request sends one request and waits for the kernel's answer to it.
func request(kind, flags uint16, content []byte) error {
	header := syscall.NlMsghdr{
		Len:   uint32(syscall.NLMSG_HDRLEN + len(content)),
		Type:  kind,
		Flags: flags | syscall.NLM_F_REQUEST | syscall.NLM_F_ACK,
		Seq:   1,
	}
	socket, err := NetlinkSocket(0)
	if err != nil {
		return err
	}
	defer syscall.Close(socket)
	message := append(fixed(&header), content...)
	if err := syscall.Sendto(socket, message, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 4096)
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

// GroupLink tells of changes of interfaces (RTMGRP_LINK of include/uapi/linux/rtnetlink.h).
const GroupLink = 1

// NetlinkSocket opens a socket of rtnetlink that hears what groups tell.
func NetlinkSocket(groups uint32) (int, error) {
	kind := syscall.SOCK_RAW | syscall.SOCK_CLOEXEC
	if groups != 0 {
		kind |= syscall.SOCK_NONBLOCK
	}
	socket, err := syscall.Socket(syscall.AF_NETLINK, kind, syscall.NETLINK_ROUTE)
	if err != nil {
		return -1, err
	}
	if err := syscall.Bind(socket, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK, Groups: groups}); err != nil {
		syscall.Close(socket)
		return -1, err
	}
	return socket, nil
}
