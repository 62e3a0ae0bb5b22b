package sys

import (
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"syscall"
)

// include/uapi/linux/genetlink.h, include/uapi/linux/netlink.h, drivers/acpi/event.c
const (
	genlControl         = 16 // GENL_ID_CTRL
	genlGetFamily       = 3  // CTRL_CMD_GETFAMILY
	genlHeaderSize      = 4
	genlAttrFamilyName  = 2
	genlAttrGroups      = 7
	genlAttrGroupID     = 2
	netlinkAddMember    = 1
	solNetlink          = 270
	acpiFamily          = "acpi_event"
	acpiAttrEvent       = 1
	acpiPowerButton     = "button/power"
	nlaTypeMask         = 0x3fff
	acpiMessageCapacity = 4096
)

// WatchPowerButton calls pressed whenever the power button is pressed. It returns when this kernel tells no ACPI events.
func WatchPowerButton(pressed func()) error {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, syscall.NETLINK_GENERIC)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	socket := os.NewFile(uintptr(fd), "acpi events")
	defer socket.Close()
	group, err := acpiGroup(socket)
	if err != nil {
		return err
	}
	if err := syscall.SetsockoptInt(fd, solNetlink, netlinkAddMember, group); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	message := make([]byte, acpiMessageCapacity)
	for {
		n, err := socket.Read(message)
		if errors.Is(err, syscall.ENOBUFS) {
			continue
		}
		if err != nil {
			return err
		}
		if strings.HasPrefix(acpiClass(message[:n]), acpiPowerButton) {
			pressed()
		}
	}
}

// acpiGroup asks for the multicast group of ACPI events.
func acpiGroup(socket *os.File) (int, error) {
	body := append([]byte{genlGetFamily, 1, 0, 0}, stringAttribute(genlAttrFamilyName, acpiFamily)...)
	if _, err := socket.Write(netlinkMessage(genlControl, syscall.NLM_F_REQUEST, body)); err != nil {
		return 0, err
	}
	answer := make([]byte, acpiMessageCapacity)
	n, err := socket.Read(answer)
	if err != nil {
		return 0, err
	}
	for groups := range attributes(genlPayload(answer[:n]), genlAttrGroups) {
		for _, group := range attributeList(groups) {
			for id := range attributes(group.value, genlAttrGroupID) {
				if len(id) >= 4 {
					return int(binary.NativeEndian.Uint32(id)), nil
				}
			}
		}
	}
	return 0, errors.New("this kernel tells no ACPI events")
}

// acpiClass returns the class of the device in an event (struct acpi_genl_event begins with it).
func acpiClass(message []byte) string {
	for event := range attributes(genlPayload(message), acpiAttrEvent) {
		return string(trimZero(event))
	}
	return ""
}

// genlPayload returns the attributes of the first message.
func genlPayload(data []byte) []byte {
	messages, err := syscall.ParseNetlinkMessage(data)
	if err != nil || len(messages) == 0 || messages[0].Header.Type == syscall.NLMSG_ERROR || len(messages[0].Data) < genlHeaderSize {
		return nil
	}
	return messages[0].Data[genlHeaderSize:]
}

type attributeValue struct {
	kind  uint16
	value []byte
}

// attributeList splits netlink attributes; what is damaged ends the list.
func attributeList(data []byte) []attributeValue {
	var list []attributeValue
	for len(data) >= nlaHeaderSize {
		size := int(binary.NativeEndian.Uint16(data))
		if size < nlaHeaderSize || size > len(data) {
			break
		}
		list = append(list, attributeValue{binary.NativeEndian.Uint16(data[2:]) & nlaTypeMask, data[nlaHeaderSize:size]})
		data = data[min(len(data), (size+nlmsgAlignment-1)&^(nlmsgAlignment-1)):]
	}
	return list
}

// attributes of one kind.
func attributes(data []byte, kind uint16) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for _, each := range attributeList(data) {
			if each.kind == kind && !yield(each.value) {
				return
			}
		}
	}
}
