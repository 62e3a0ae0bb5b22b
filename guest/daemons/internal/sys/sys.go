// Package sys is what the daemons need of the system, by package syscall alone: package os would add 250 kB.
package sys

import (
	"errors"
	"syscall"
	"unsafe"
)

// Time is a number of nanoseconds: a span, or a point in time since the machine started (CLOCK_BOOTTIME, which goes on
// while it sleeps, as leases do).
type Time int64

const (
	Millisecond Time = 1e6
	Second      Time = 1e9
	// Never is later than everything.
	Never Time = 1<<63 - 1
)

const clockBoottime = 7 // include/uapi/linux/time.h

// Now tells the time since the machine started.
func Now() Time {
	var now syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockBoottime, uintptr(unsafe.Pointer(&now)), 0)
	return Time(now.Nano())
}

// PollFD is struct pollfd of poll(2).
type PollFD struct {
	FD      int32
	Events  int16
	Returns int16
}

// What to wait for (include/uapi/asm-generic/poll.h).
const (
	PollIn  = 1
	PollOut = 4
)

// Poll waits until one of the files is ready, at most for a span of time (Never: however long it takes).
func Poll(files []PollFD, span Time) {
	var limit *syscall.Timespec
	if span != Never {
		exact := syscall.NsecToTimespec(int64(max(span, 0)))
		limit = &exact
	}
	var first *PollFD
	for i := range files {
		files[i].Returns = 0
	}
	if len(files) > 0 {
		first = &files[0]
	}
	syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(first)), uintptr(len(files)),
		uintptr(unsafe.Pointer(limit)), 0, 0, 0)
}

// Sleep waits for a span of time.
func Sleep(span Time) { Poll(nil, span) }

// Log writes one line to standard error.
func Log(parts ...string) {
	var line []byte
	for _, part := range parts {
		line = append(line, part...)
	}
	syscall.Write(2, append(line, '\n'))
}

// Print writes text to standard output.
func Print(text string) { WriteAll(1, []byte(text)) }

// WriteAll writes all of data.
func WriteAll(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := syscall.Write(fd, data)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// Open opens a file.
func Open(path string, flags int) (int, error) {
	for {
		fd, err := syscall.Open(path, flags|syscall.O_CLOEXEC, 0o644)
		if err != syscall.EINTR {
			return fd, err
		}
	}
}

// ReadFile reads a file of at most limit bytes.
func ReadFile(path string, limit int) ([]byte, error) {
	fd, err := Open(path, syscall.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	var data []byte
	piece := make([]byte, 4096)
	for {
		n, err := syscall.Read(fd, piece)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return data, nil
		}
		data = append(data, piece[:n]...)
		if len(data) > limit {
			return nil, errors.New("it is larger than this program reads")
		}
	}
}

// Names lists a directory, sorted.
func Names(path string) ([]string, error) {
	fd, err := Open(path, syscall.O_RDONLY|syscall.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	var names []string
	piece := make([]byte, 4096)
	for {
		n, err := syscall.ReadDirent(fd, piece)
		if err != nil {
			return nil, err
		}
		if n <= 0 {
			break
		}
		_, _, names = syscall.ParseDirent(piece[:n], -1, names)
	}
	sortStrings(names)
	return names, nil
}

// sortStrings: package sort would be larger than what it sorts here.
func sortStrings(texts []string) {
	for i := range texts {
		for j := i; j > 0 && texts[j] < texts[j-1]; j-- {
			texts[j], texts[j-1] = texts[j-1], texts[j]
		}
	}
}

// Base is the last part of a path.
func Base(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return path[i+1:]
		}
	}
	return path
}

// Arguments are those that the program was called with, its name first.
func Arguments() ([]string, error) {
	data, err := ReadFile("/proc/self/cmdline", 1<<20)
	if err != nil {
		return nil, err
	}
	var arguments []string
	start := 0
	for i, c := range data {
		if c == 0 {
			arguments = append(arguments, string(data[start:i]))
			start = i + 1
		}
	}
	return arguments, nil
}
