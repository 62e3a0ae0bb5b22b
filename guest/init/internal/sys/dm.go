package sys

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// include/uapi/linux/dm-ioctl.h; _IOWR(0xfd, n, struct dm_ioctl) is the same on every architecture that hullkit serves
const (
	dmCreate    = 0xC138FD03
	dmRemove    = 0xC138FD04
	dmResume    = 0xC138FD06 // DM_DEV_SUSPEND without DM_SUSPEND_FLAG
	dmTableLoad = 0xC138FD09
	dmReadOnly  = 1
)

// dmHeader is struct dm_ioctl.
type dmHeader struct {
	version                          [3]uint32
	dataSize, dataStart, targetCount uint32
	openCount                        int32
	flags, eventNumber, padding      uint32
	device                           uint64
	name                             [128]byte
	uuid                             [129]byte
	data                             [7]byte
}

// dmTarget is struct dm_target_spec; its parameters follow.
type dmTarget struct {
	start, length uint64
	status        int32
	next          uint32
	kind          [16]byte
}

// maxMapParameters is far above what any table of ours needs.
const maxMapParameters = 1024

// MapDevice makes a read-only device mapper device of one target (Documentation/admin-guide/device-mapper) and returns
// the path of its node. length is in sectors of 512 bytes.
func MapDevice(name string, length uint64, kind, parameters string) (string, error) {
	if len(parameters) > maxMapParameters {
		return "", syscall.E2BIG
	}
	control, err := os.OpenFile("/dev/mapper/control", os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer control.Close()
	device, err := dmCall(control, dmCreate, name, 0, nil)
	if err != nil {
		return "", fmt.Errorf("device mapper: create %s: %w", name, err)
	}
	_, err = dmCall(control, dmTableLoad, name, dmReadOnly, dmTable(length, kind, parameters))
	if err == nil {
		_, err = dmCall(control, dmResume, name, 0, nil)
	}
	if err != nil {
		_, removed := dmCall(control, dmRemove, name, 0, nil)
		return "", errors.Join(fmt.Errorf("device mapper: %s (%s): %w", name, kind, err), removed)
	}
	// new_encode_dev of include/linux/kdev_t.h
	return fmt.Sprintf("/dev/dm-%d", device&0xff|device>>12&^0xff), nil
}

// dmTable is the data of DM_TABLE_LOAD: one target with its parameters, padded to 8 bytes.
func dmTable(length uint64, kind, parameters string) []byte {
	target := dmTarget{length: length}
	copy(target.kind[:], kind)
	size := int(unsafe.Sizeof(target))
	table := make([]byte, (size+len(parameters)+8)&^7)
	target.next = uint32(len(table))
	*(*dmTarget)(unsafe.Pointer(&table[0])) = target
	copy(table[size:], parameters)
	return table
}

// dmCall sends one request, with at most one target, and returns the device's number.
func dmCall(control *os.File, request uintptr, name string, flags uint32, table []byte) (uint64, error) {
	// words, so that the header is aligned
	buffer := make([]uint64, (int(unsafe.Sizeof(dmHeader{}))+len(table)+7)/8)
	header := (*dmHeader)(unsafe.Pointer(&buffer[0]))
	header.version = [3]uint32{4, 0, 0}
	header.dataSize = uint32(len(buffer) * 8)
	header.dataStart = uint32(unsafe.Sizeof(*header))
	header.flags = flags
	copy(header.name[:len(header.name)-1], name)
	if len(table) > 0 {
		header.targetCount = 1
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&buffer[0])), len(buffer)*8)[header.dataStart:], table)
	}
	_, err := ioctl(control, request, unsafe.Pointer(&buffer[0]))
	return header.device, err
}
