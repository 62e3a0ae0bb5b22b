package dhcp

import (
	"encoding/binary"
	"errors"
)

// MAC is the hardware address of an Ethernet interface.
type MAC [6]byte

// Message types (RFC 2132, 9.6).
const (
	discover = 1
	offer    = 2
	request  = 3
	decline  = 4
	ack      = 5
	nak      = 6
)

// Options (RFC 2132; 119: RFC 3397; 121: RFC 3442).
const (
	optMask         = 1
	optRouter       = 3
	optDNS          = 6
	optHostname     = 12
	optDomain       = 15
	optMTU          = 26
	optRequestedIP  = 50
	optLeaseTime    = 51
	optOverload     = 52
	optType         = 53
	optServer       = 54
	optParameters   = 55
	optMessage      = 56
	optMaxSize      = 57
	optT1           = 58
	optT2           = 59
	optClientID     = 61
	optSearch       = 119
	optStaticRoutes = 121
	optEnd          = 255
)

const (
	bootRequest = 1
	bootReply   = 2
	ethernet    = 1 // ARPHRD_ETHER

	fixedSize   = 236
	smallest    = 300 // BOOTP's size, which some relays insist on
	largest     = 1472
	magicCookie = 0x63825363
)

type option struct {
	code  byte
	value []byte
}

// Message is a DHCP message (RFC 2131, 2).
type Message struct {
	Op      byte
	XID     uint32
	Secs    uint16
	CIAddr  IP
	YIAddr  IP
	MAC     MAC
	options []option
}

// get returns an option's value, nil without it.
func (m *Message) get(code byte) []byte {
	for _, each := range m.options {
		if each.code == code {
			return each.value
		}
	}
	return nil
}

// add appends to an option; parts of a long one are put together (RFC 3396).
func (m *Message) add(code byte, value ...byte) {
	for i := range m.options {
		if m.options[i].code == code {
			m.options[i].value = append(m.options[i].value, value...)
			return
		}
	}
	m.options = append(m.options, option{code, append([]byte{}, value...)})
}

func (m *Message) kind() byte {
	if value := m.get(optType); len(value) == 1 {
		return value[0]
	}
	return 0
}

func (m *Message) address(code byte) (IP, bool) {
	value := m.get(code)
	if len(value) != 4 {
		return IP{}, false
	}
	return IP(value), true
}

func (m *Message) number(code byte) (uint32, bool) {
	value := m.get(code)
	if len(value) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(value), true
}

// addresses of an option that lists them, at most limit.
func (m *Message) addresses(code byte, limit int) []IP {
	var list []IP
	for value := m.get(code); len(value) >= 4 && len(list) < limit; value = value[4:] {
		if ip := IP(value[:4]); ip.host() {
			list = append(list, ip)
		}
	}
	return list
}

// bytes of the message, padded to BOOTP's size. Its options fit into the options field and are short.
func (m *Message) bytes() []byte {
	data := make([]byte, fixedSize, smallest)
	data[0], data[1], data[2] = m.Op, ethernet, byte(len(m.MAC))
	binary.BigEndian.PutUint32(data[4:], m.XID)
	binary.BigEndian.PutUint16(data[8:], m.Secs)
	copy(data[12:], m.CIAddr[:])
	copy(data[16:], m.YIAddr[:])
	copy(data[28:], m.MAC[:])
	data = binary.BigEndian.AppendUint32(data, magicCookie)
	for _, each := range m.options {
		data = append(data, each.code, byte(len(each.value)))
		data = append(data, each.value...)
	}
	data = append(data, optEnd)
	for len(data) < smallest {
		data = append(data, 0)
	}
	return data
}

var (
	errShort   = errors.New("the message is too short")
	errForeign = errors.New("the message is not DHCP for Ethernet")
	errOptions = errors.New("an option goes beyond its field")
)

// parseMessage reads a message of whatever content; nothing in it refers to data afterwards.
func parseMessage(data []byte) (*Message, error) {
	if len(data) < fixedSize+4 {
		return nil, errShort
	}
	if data[1] != ethernet || data[2] != 6 || binary.BigEndian.Uint32(data[fixedSize:]) != magicCookie {
		return nil, errForeign
	}
	m := &Message{
		Op:     data[0],
		XID:    binary.BigEndian.Uint32(data[4:]),
		Secs:   binary.BigEndian.Uint16(data[8:]),
		CIAddr: IP(data[12:16]),
		YIAddr: IP(data[16:20]),
		MAC:    MAC(data[28:34]),
	}
	if err := m.addField(data[fixedSize+4:]); err != nil {
		return nil, err
	}
	// the fields of the server's name and the boot file may hold options too, the latter first (RFC 3396, 5)
	sname, file := data[44:108], data[108:236]
	if overload := m.get(optOverload); len(overload) == 1 {
		if overload[0]&1 != 0 {
			if err := m.addField(file); err != nil {
				return nil, err
			}
		}
		if overload[0]&2 != 0 {
			if err := m.addField(sname); err != nil {
				return nil, err
			}
		}
	}
	return m, nil
}

func (m *Message) addField(data []byte) error {
	for len(data) > 0 {
		code := data[0]
		if code == 0 {
			data = data[1:]
			continue
		}
		if code == optEnd {
			return nil
		}
		if len(data) < 2 || len(data) < 2+int(data[1]) {
			return errOptions
		}
		m.add(code, data[2:2+int(data[1])]...)
		data = data[2+int(data[1]):]
	}
	return nil
}
