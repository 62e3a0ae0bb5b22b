package dhcp

import (
	"encoding/binary"
	"errors"
)

const (
	serverPort = 67
	clientPort = 68

	ipSize  = 20
	udpSize = 8
	udp     = 17
)

// sum adds data to an Internet checksum (RFC 1071).
func sum(total uint32, data []byte) uint32 {
	for ; len(data) >= 2; data = data[2:] {
		total += uint32(data[0])<<8 | uint32(data[1])
	}
	if len(data) == 1 {
		total += uint32(data[0]) << 8
	}
	return total
}

func fold(total uint32) uint16 {
	for total > 0xffff {
		total = total&0xffff + total>>16
	}
	return ^uint16(total)
}

// pseudo is the checksum over the pseudo header of UDP (RFC 768).
func pseudo(header []byte, length int) uint32 {
	return sum(udp+uint32(length), header[12:20])
}

// packet puts IP and UDP headers before a message from a client.
func packet(source, target IP, payload []byte) []byte {
	data := make([]byte, ipSize+udpSize, ipSize+udpSize+len(payload))
	data[0] = 0x45
	binary.BigEndian.PutUint16(data[2:], uint16(ipSize+udpSize+len(payload)))
	data[8], data[9] = 64, udp
	copy(data[12:], source[:])
	copy(data[16:], target[:])
	binary.BigEndian.PutUint16(data[10:], fold(sum(0, data[:ipSize])))
	binary.BigEndian.PutUint16(data[20:], clientPort)
	binary.BigEndian.PutUint16(data[22:], serverPort)
	binary.BigEndian.PutUint16(data[24:], uint16(udpSize+len(payload)))
	data = append(data, payload...)
	check := fold(sum(pseudo(data, udpSize+len(payload)), data[ipSize:]))
	if check == 0 {
		check = 0xffff
	}
	binary.BigEndian.PutUint16(data[26:], check)
	return data
}

var (
	errPacket   = errors.New("no whole UDP packet of IPv4 for a client")
	errChecksum = errors.New("wrong checksum")
)

// unpack returns what a packet carries to a client. Without verify the UDP checksum is not looked at: one that comes from
// the same machine has none yet.
func unpack(data []byte, verify bool) ([]byte, error) {
	if len(data) < ipSize || data[0]>>4 != 4 {
		return nil, errPacket
	}
	header, total := int(data[0]&15)*4, int(binary.BigEndian.Uint16(data[2:]))
	if header < ipSize || total < header+udpSize || total > len(data) || data[9] != udp {
		return nil, errPacket
	}
	if binary.BigEndian.Uint16(data[6:])&0x3fff != 0 {
		return nil, errPacket // a fragment
	}
	if fold(sum(0, data[:header])) != 0 {
		return nil, errChecksum
	}
	segment := data[header:total]
	length := int(binary.BigEndian.Uint16(segment[4:]))
	if binary.BigEndian.Uint16(segment[2:]) != clientPort || length < udpSize || length > len(segment) {
		return nil, errPacket
	}
	if verify && binary.BigEndian.Uint16(segment[6:]) != 0 && fold(sum(pseudo(data, length), segment[:length])) != 0 {
		return nil, errChecksum
	}
	return segment[udpSize:length], nil
}

const (
	arpSize    = 28
	arpRequest = 1
	arpReply   = 2
	ipv4       = 0x0800 // ETH_P_IP
	arp        = 0x0806 // ETH_P_ARP
)

// arpProbe asks who has target. With no source it is a probe, with the target itself an announcement (RFC 5227).
func arpProbe(mac MAC, source, target IP) []byte {
	data := make([]byte, arpSize)
	binary.BigEndian.PutUint16(data[0:], ethernet)
	binary.BigEndian.PutUint16(data[2:], ipv4)
	data[4], data[5] = 6, 4
	binary.BigEndian.PutUint16(data[6:], arpRequest)
	copy(data[8:], mac[:])
	copy(data[14:], source[:])
	copy(data[24:], target[:])
	return data
}

// conflict tells whether an ARP packet shows that another host has the address or is about to take it, and which.
func conflict(data []byte, own MAC, address IP) (MAC, bool) {
	if len(data) < arpSize || binary.BigEndian.Uint16(data[0:]) != ethernet ||
		binary.BigEndian.Uint16(data[2:]) != ipv4 || data[4] != 6 || data[5] != 4 {
		return MAC{}, false
	}
	sender, source, target := MAC(data[8:14]), IP(data[14:18]), IP(data[24:28])
	probed := source.zero() && target == address && binary.BigEndian.Uint16(data[6:]) == arpRequest
	return sender, sender != own && (source == address || probed)
}
