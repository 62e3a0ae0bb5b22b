package dhcp

import "strconv"

// IP is an IPv4 address.
type IP [4]byte

var broadcast = IP{255, 255, 255, 255}

func (ip IP) String() string {
	text := strconv.Itoa(int(ip[0]))
	for _, part := range ip[1:] {
		text += "." + strconv.Itoa(int(part))
	}
	return text
}

func (ip IP) zero() bool { return ip == IP{} }

// host tells whether an interface or a server may have the address: not 0.0.0.0/8, loopback, multicast and beyond.
func (ip IP) host() bool { return ip[0] != 0 && ip[0] != 127 && ip[0] < 224 }

func (ip IP) number() uint32 {
	return uint32(ip[0])<<24 | uint32(ip[1])<<16 | uint32(ip[2])<<8 | uint32(ip[3])
}

func fromNumber(number uint32) IP {
	return IP{byte(number >> 24), byte(number >> 16), byte(number >> 8), byte(number)}
}

// mask is the network mask of a prefix length.
func mask(prefix int) uint32 { return uint32(^uint64(0) << (32 - prefix)) }

// within tells whether the address is in the network that net has with this prefix.
func (ip IP) within(net IP, prefix int) bool {
	return (ip.number()^net.number())&mask(prefix) == 0
}

// prefixLength of a mask; not ok when its ones are not together.
func prefixLength(of IP) (length int, ok bool) {
	for length = 0; length <= 32; length++ {
		if mask(length) == of.number() {
			return length, true
		}
	}
	return 0, false
}

// classPrefix is what an address without a mask had (RFC 791).
func classPrefix(ip IP) int {
	switch {
	case ip[0] < 128:
		return 8
	case ip[0] < 192:
		return 16
	}
	return 24
}

// subnetBroadcast is the last address of the network; none in networks too small to have one (RFC 3021).
func subnetBroadcast(ip IP, prefix int) (IP, bool) {
	return fromNumber(ip.number() | ^mask(prefix)), prefix < 31
}

func joinIPs(list []IP) string {
	text := ""
	for i, each := range list {
		if i > 0 {
			text += " "
		}
		text += each.String()
	}
	return text
}
