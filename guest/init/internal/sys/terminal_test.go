package sys

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// pseudoTerminal returns the host's end of a new one, and the path of the other.
func pseudoTerminal(t *testing.T) (*os.File, string) {
	host, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { host.Close() })
	var unlock, number int32
	ioctl(host, syscall.TIOCSPTLCK, unsafe.Pointer(&unlock))
	if _, err := ioctl(host, syscall.TIOCGPTN, unsafe.Pointer(&number)); err != nil {
		t.Fatal(err)
	}
	return host, fmt.Sprintf("/dev/pts/%d", number)
}

func TestTerminalPassesBytesAsTheyAre(t *testing.T) {
	host, path := pseudoTerminal(t)
	line, err := OpenTerminal(path)
	if err != nil {
		t.Skip(err)
	}
	defer line.Close()
	const bytes = "a\r\n\x03\x04\x11\x13\x7f"
	for _, ends := range [][2]*os.File{{host, line}, {line, host}} {
		if _, err := ends[0].WriteString(bytes); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 100)
		n, err := ends[1].Read(got)
		if err != nil || string(got[:n]) != bytes {
			t.Errorf("%q %v", got[:n], err)
		}
	}
	DrainTerminal(line, time.Second)
}

func TestDrainOfWhatIsNoTerminalIsAtOnce(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	started := time.Now()
	DrainTerminal(file, time.Minute)
	if time.Since(started) > time.Second {
		t.Error("waited for a file")
	}
	if _, err := OpenTerminal(file.Name()); err == nil {
		t.Error("a file is no serial line")
	}
}
