// Package control speaks with the host over a virtio-serial port: events out, commands in, one JSON object a line
// (docs/guest.md). Nothing here may hold init up: a host that does not read loses the oldest events.
package control

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"hullkit/guest/init/internal/json"
	"hullkit/guest/init/internal/sys"
)

// PortName is the name that the host gives the port.
const PortName = "org.hullkit.control"

const (
	maxQueue   = 512
	maxCommand = 4096
	retryDelay = 500 * time.Millisecond
)

// Channel is the guest's end. It works, to no effect, without a port.
type Channel struct {
	mutex sync.Mutex
	queue [][]byte
	// more has room for one: a wake-up of the writer
	more chan struct{}
	idle *sync.Cond
	// sending: the writer has taken a line that the host has not got yet
	sending bool
	port    *os.File
	// terminal is the serial line to use instead of the port; empty for none
	terminal string
	handle   func(command string)
}

// New makes a channel; handle is called for each command, one at a time.
func New(handle func(command string)) *Channel {
	channel := &Channel{more: make(chan struct{}, 1), handle: handle}
	channel.idle = sync.NewCond(&channel.mutex)
	return channel
}

// Send queues an event.
func (c *Channel) Send(event json.Object) {
	line := json.Encode(event)
	c.mutex.Lock()
	if len(c.queue) == maxQueue {
		c.queue = c.queue[1:]
	}
	c.queue = append(c.queue, append(line, '\n'))
	c.mutex.Unlock()
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// FindPort looks for the port below /sys and opens it; nil if it is not there (yet).
func FindPort(sysfs, devices string) *os.File {
	names, _ := filepath.Glob(filepath.Join(sysfs, "class/virtio-ports/*/name"))
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil || strings.TrimSpace(string(data)) != PortName {
			continue
		}
		node := filepath.Join(devices, filepath.Base(filepath.Dir(name)))
		port, err := os.OpenFile(node, os.O_RDWR|syscall.O_NONBLOCK, 0)
		if err == nil {
			return port
		}
	}
	return nil
}

// UseTerminal makes Open take a serial line, by its name below /dev, instead of the port: the kernel's driver of the port
// keeps 8 MB of buffers, which a machine with little memory does not have.
func (c *Channel) UseTerminal(name string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.terminal = name
}

func (c *Channel) find() *os.File {
	if c.terminal == "" {
		return FindPort("/sys", "/dev")
	}
	line, err := sys.OpenTerminal(filepath.Join("/dev", filepath.Base(c.terminal)))
	if err != nil {
		return nil
	}
	return line
}

// Open connects to the port unless that has been done; it tells whether there is one.
func (c *Channel) Open() bool {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.port == nil {
		if c.port = c.find(); c.port != nil {
			c.Serve(c.port)
		}
	}
	return c.port != nil
}

// Serve speaks through a port.
func (c *Channel) Serve(port *os.File) {
	go c.write(port)
	go c.read(port)
}

func (c *Channel) write(port *os.File) {
	for range c.more {
		for line := c.next(); line != nil; line = c.next() {
			if !send(port, line) {
				return
			}
		}
	}
}

// next takes a line from the queue; nil if there is none.
func (c *Channel) next() []byte {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.sending = len(c.queue) > 0
	if !c.sending {
		c.idle.Broadcast()
		return nil
	}
	line := c.queue[0]
	c.queue = c.queue[1:]
	return line
}

// send writes a line, waiting for a host that is not connected; false when the port is gone.
func send(port *os.File, line []byte) bool {
	for len(line) > 0 {
		n, err := port.Write(line)
		line = line[n:]
		switch {
		case err == nil:
		case errors.Is(err, os.ErrClosed), errors.Is(err, syscall.ENODEV):
			return false
		default:
			time.Sleep(retryDelay)
		}
	}
	return true
}

func (c *Channel) read(port *os.File) {
	for {
		lines := bufio.NewReaderSize(port, maxCommand)
		for {
			line, err := lines.ReadSlice('\n')
			if err != nil {
				if errors.Is(err, os.ErrClosed) || errors.Is(err, syscall.ENODEV) {
					return
				}
				break
			}
			if name := parse(line); name != "" {
				c.handle(name)
			}
		}
		// the end of the stream: the host is not connected; it may come back
		time.Sleep(retryDelay)
	}
}

func parse(line []byte) string {
	_, message, err := json.Open(line)
	if err != nil {
		return ""
	}
	return message.Get("command").Text()
}

// Flush waits until the host has got everything, at most as long as timeout.
func (c *Channel) Flush(timeout time.Duration) {
	timer := time.AfterFunc(timeout, func() {
		c.mutex.Lock()
		defer c.mutex.Unlock()
		c.port, c.queue, c.sending = nil, nil, false
		c.idle.Broadcast()
	})
	defer timer.Stop()
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for c.port != nil && (c.sending || len(c.queue) > 0) {
		c.idle.Wait()
	}
	if c.port != nil {
		sys.DrainTerminal(c.port, timeout)
	}
}
