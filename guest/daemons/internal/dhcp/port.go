package dhcp

import (
	"encoding/binary"
	"errors"
	"syscall"

	"hullkit/guest/daemons/internal/sys"
)

// port is one interface: the Link of its client, by packet sockets and rtnetlink.
type port struct {
	index  int
	name   string
	mac    MAC
	client *Client
	lease  *Lease
	// mtu: what the interface had before a lease said otherwise
	mtu int
	// changed tells the service that lease has another value
	changed func()
	// sockets, -1 when closed: all DHCP packets; ARP; the one that unicasts go out by
	packets, arp, unicast int
}

func newPort(link *sys.Link, options Options, changed func()) *port {
	p := &port{index: link.Index, name: link.Name, mac: MAC(link.MAC), mtu: link.MTU, changed: changed}
	p.packets, p.arp, p.unicast = -1, -1, -1
	p.client = newClient(p, options)
	return p
}

func (p *port) MAC() MAC { return p.mac }

func (p *port) Log(text string) { sys.Log("dhcp: ", p.name, ": ", text) }

// Listen: nothing is open while nobody is asked, so that nobody can send anything to the client then.
func (p *port) Listen(on bool) error {
	if !on {
		for _, fd := range []*int{&p.packets, &p.arp, &p.unicast} {
			if *fd >= 0 {
				syscall.Close(*fd)
				*fd = -1
			}
		}
		return nil
	}
	if p.packets >= 0 {
		return nil
	}
	var err error
	p.packets, err = packetSocket(p.index, ipv4, toClients)
	return err
}

// toClients is the socket filter for UDP packets of IPv4 to the port of clients that are no fragments.
var toClients = []syscall.SockFilter{
	*syscall.LsfStmt(syscall.BPF_LD|syscall.BPF_B|syscall.BPF_ABS, 9),
	*syscall.LsfJump(syscall.BPF_JMP|syscall.BPF_JEQ|syscall.BPF_K, udp, 0, 6),
	*syscall.LsfStmt(syscall.BPF_LD|syscall.BPF_H|syscall.BPF_ABS, 6),
	*syscall.LsfJump(syscall.BPF_JMP|syscall.BPF_JSET|syscall.BPF_K, 0x3fff, 4, 0),
	*syscall.LsfStmt(syscall.BPF_LDX|syscall.BPF_B|syscall.BPF_MSH, 0),
	*syscall.LsfStmt(syscall.BPF_LD|syscall.BPF_H|syscall.BPF_IND, 2),
	*syscall.LsfJump(syscall.BPF_JMP|syscall.BPF_JEQ|syscall.BPF_K, clientPort, 0, 1),
	*syscall.LsfStmt(syscall.BPF_RET|syscall.BPF_K, 65535),
	*syscall.LsfStmt(syscall.BPF_RET|syscall.BPF_K, 0),
}

const packetAuxdata = 8 // PACKET_AUXDATA (include/uapi/linux/if_packet.h)

// packetSocket hears packets of one protocol on one interface. It has its filter before it hears anything.
func packetSocket(index, protocol int, filter []syscall.SockFilter) (int, error) {
	fd, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_DGRAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if filter != nil {
		err = syscall.AttachLsf(fd, filter)
	}
	if err == nil {
		err = syscall.SetsockoptInt(fd, syscall.SOL_PACKET, packetAuxdata, 1)
	}
	if err == nil {
		err = syscall.Bind(fd, linkAddress(index, protocol))
	}
	if err != nil {
		syscall.Close(fd)
		return -1, err
	}
	return fd, nil
}

// linkAddress is the broadcast address of Ethernet.
func linkAddress(index, protocol int) *syscall.SockaddrLinklayer {
	return &syscall.SockaddrLinklayer{
		Protocol: binary.NativeEndian.Uint16([]byte{byte(protocol >> 8), byte(protocol)}),
		Ifindex:  index,
		Halen:    6,
		Addr:     [8]byte{255, 255, 255, 255, 255, 255},
	}
}

var errClosed = errors.New("there is no socket")

func (p *port) Broadcast(message []byte, source IP) error {
	if p.packets < 0 {
		return errClosed
	}
	return syscall.Sendto(p.packets, packet(source, broadcast, message), 0, linkAddress(p.index, ipv4))
}

// Unicast sends by a UDP socket, so that the kernel finds the way. The answer is heard by the packet socket.
func (p *port) Unicast(message []byte, source, server IP) error {
	if p.unicast < 0 {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		err = syscall.SetsockoptString(fd, syscall.SOL_SOCKET, syscall.SO_BINDTODEVICE, p.name)
		if err == nil {
			err = syscall.Bind(fd, &syscall.SockaddrInet4{Port: clientPort, Addr: source})
		}
		if err != nil {
			syscall.Close(fd)
			return err
		}
		p.unicast = fd
	}
	return syscall.Sendto(p.unicast, message, 0, &syscall.SockaddrInet4{Port: serverPort, Addr: server})
}

func (p *port) Probe(address IP) error {
	if p.arp < 0 {
		fd, err := packetSocket(p.index, arp, nil)
		if err != nil {
			return err
		}
		p.arp = fd
	}
	return syscall.Sendto(p.arp, arpProbe(p.mac, IP{}, address), 0, linkAddress(p.index, arp))
}

func (p *port) Announce(address IP) {
	fd, err := packetSocket(p.index, arp, nil)
	if err == nil {
		err = syscall.Sendto(fd, arpProbe(p.mac, address, address), 0, linkAddress(p.index, arp))
		syscall.Close(fd)
	}
	if err != nil {
		p.Log("announcing by ARP failed: " + err.Error())
	}
}

const mostPackets = 64 // read at a time, so that a flood does not keep the clock from being looked at

// receive takes what has arrived by the packet socket.
func (p *port) receive() {
	buffer, control := make([]byte, 2048), make([]byte, 64)
	for range mostPackets {
		if p.packets < 0 {
			return
		}
		n, controlled, _, _, err := syscall.Recvmsg(p.packets, buffer, control, 0)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return
		}
		payload, err := unpack(buffer[:n], summed(control[:controlled]))
		if err != nil {
			continue
		}
		if message, err := parseMessage(payload); err == nil {
			p.client.Receive(message, sys.Now())
		}
	}
}

// summed tells whether the packet's checksum is there already: struct tpacket_auxdata begins with the status.
func summed(control []byte) bool {
	const notReady = 1 << 3 // TP_STATUS_CSUMNOTREADY
	messages, err := syscall.ParseSocketControlMessage(control)
	if err != nil {
		return true
	}
	for _, each := range messages {
		if each.Header.Level == syscall.SOL_PACKET && each.Header.Type == packetAuxdata && len(each.Data) >= 4 {
			return binary.NativeEndian.Uint32(each.Data)&notReady == 0
		}
	}
	return true
}

// receiveARP looks for other hosts with the address that is probed.
func (p *port) receiveARP() {
	buffer := make([]byte, 128)
	for range mostPackets {
		if p.arp < 0 || p.client.state != probing {
			return
		}
		n, _, err := syscall.Recvfrom(p.arp, buffer, 0)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return
		}
		if other, found := conflict(buffer[:n], p.mac, p.client.offered.Address); found {
			p.client.Conflict(other, sys.Now())
		}
	}
}
