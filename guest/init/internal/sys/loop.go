package sys

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// include/uapi/linux/loop.h
const (
	loopConfigure  = 0x4C0A
	loopCtlGetFree = 0x4C82
	loopReadOnly   = 1
	loopDirectIO   = 16
)

type loopInfo64 struct {
	device, inode, rdevice, offset, sizelimit  uint64
	number, encryptType, encryptKeySize, flags uint32
	fileName, cryptName                        [64]byte
	encryptKey                                 [32]byte
	init                                       [2]uint64
}

type loopConfig struct {
	fd, blockSize uint32
	info          loopInfo64
	reserved      [8]uint64
}

// AttachLoop puts a read-only loop device on the file at path and returns the device's path. Direct I/O keeps the
// blocks from lying in memory twice; where the file system cannot do it, the kernel or the second try goes without.
func AttachLoop(path string) (string, error) {
	backing, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer backing.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer control.Close()
	// somebody else may take a free device before it is configured
	for range 100 {
		number, err := ioctl(control, loopCtlGetFree, nil)
		if err != nil {
			return "", fmt.Errorf("no free loop device: %w", err)
		}
		device := fmt.Sprintf("/dev/loop%d", number)
		switch err := configureLoop(device, backing); {
		case err == nil:
			return device, nil
		case !errors.Is(err, syscall.EBUSY):
			return "", fmt.Errorf("%s on %s: %w", device, path, err)
		}
	}
	return "", fmt.Errorf("no free loop device for %s", path)
}

func configureLoop(device string, backing *os.File) error {
	loop, err := os.OpenFile(device, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer loop.Close()
	config := loopConfig{fd: uint32(backing.Fd()), blockSize: 4096}
	config.info.flags = loopReadOnly | loopDirectIO
	if _, err = ioctl(loop, loopConfigure, unsafe.Pointer(&config)); errors.Is(err, syscall.EINVAL) {
		config.blockSize = 0
		config.info.flags = loopReadOnly
		_, err = ioctl(loop, loopConfigure, unsafe.Pointer(&config))
	}
	return err
}
