package rng

import (
	"errors"
	"strconv"
	"syscall"
	"unsafe"

	"hullkit/guest/daemons/internal/sys"
)

const (
	source = "/dev/hwrng"
	pool   = "/dev/random"
	// startup: bytes that are looked at before any is used (SP 800-90B, 4.3)
	startup = 1024
	// block: bytes that are fed at a time; with minEntropy bits each they fill the pool, which has 256 bits
	block = 64
	// interval: the kernel gets a block at least this often
	interval = 60 * sys.Second
	patience = 5 * sys.Second
)

// Main feeds the kernel until something fails, and returns the exit status.
func Main(arguments []string) int {
	if len(arguments) > 0 {
		sys.Log("usage: rngd")
		return 2
	}
	if err := run(); err != nil {
		sys.Log("rngd: ", err.Error())
		return 1
	}
	return 0
}

func run() error {
	kernel, err := sys.Open(pool, syscall.O_WRONLY)
	if err != nil {
		return errors.New(pool + ": " + err.Error())
	}
	hardware, first, err := await()
	if err != nil {
		return err
	}
	tested := newHealth()
	if err := tested.check(first); err != nil {
		return errors.New(source + " is not used: " + err.Error())
	}
	for number := 1; ; number++ {
		data := make([]byte, block)
		if err := readFull(hardware, data); err != nil {
			return errors.New(source + ": " + err.Error())
		}
		if err := tested.check(data); err != nil {
			return errors.New(source + " is not used any more: " + err.Error())
		}
		if err := credit(kernel, data); err != nil {
			return errors.New(pool + ": " + err.Error())
		}
		if number == 1 {
			sys.Log("rngd: ", source, " is healthy; the kernel has got ", strconv.Itoa(block*minEntropy), " bits of it")
		}
		// writable: the kernel has too little (random_poll of drivers/char/random.c)
		sys.Poll([]sys.PollFD{{FD: int32(kernel), Events: sys.PollOut}}, interval)
	}
}

// await opens the source and reads what it is tested by; while there is none it waits for one.
func await() (int, []byte, error) {
	told := false
	for {
		first := make([]byte, startup)
		hardware, err := sys.Open(source, syscall.O_RDONLY)
		if err == nil {
			if err = readFull(hardware, first); err == nil {
				return hardware, first, nil
			}
			syscall.Close(hardware)
		}
		// no driver for the device file, or no device for the driver
		if err != syscall.ENODEV && err != syscall.ENXIO && err != syscall.ENOENT {
			return -1, nil, errors.New(source + ": " + err.Error())
		}
		if !told {
			sys.Log("rngd: there is no hardware source (", source, ": ", err.Error(), "); waiting for one")
			told = true
		}
		sys.Sleep(patience)
	}
}

var errEnd = errors.New("it has ended")

func readFull(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := syscall.Read(fd, data)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return errEnd
		}
		data = data[n:]
	}
	return nil
}

// poolInfo is struct rand_pool_info with room for a block.
type poolInfo struct {
	bits int32
	size int32
	data [block]byte
}

// credit gives the kernel a block that counts as minEntropy bits for each byte (RNDADDENTROPY).
func credit(kernel int, data []byte) error {
	info := poolInfo{bits: int32(len(data) * minEntropy), size: int32(len(data))}
	copy(info.data[:], data)
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(kernel), addEntropy, uintptr(unsafe.Pointer(&info)))
	if errno != 0 {
		return errno
	}
	return nil
}
