// Package console writes init's messages for people: few, short, one line each.
package console

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

const maxQueue = 500

// Console is where messages go. A console that nobody reads (a serial line that is held) holds nobody up: what does not
// fit into the queue is lost, and counted.
type Console struct {
	writer  io.Writer
	verbose bool

	mutex   sync.Mutex
	changed *sync.Cond
	queue   []string
	lost    int
	writing bool
}

// New makes a console; verbose shows debugging messages too.
func New(writer io.Writer, verbose bool) *Console {
	console := &Console{writer: writer, verbose: verbose}
	console.changed = sync.NewCond(&console.mutex)
	go console.write()
	return console
}

// SetVerbose switches debugging messages on; to be called before others use the console.
func (c *Console) SetVerbose(verbose bool) { c.verbose = verbose }

// Say prints a message.
func (c *Console) Say(format string, arguments ...any) {
	c.Print("hullkit: " + fmt.Sprintf(format, arguments...))
}

// Debug prints a message when debugging.
func (c *Console) Debug(format string, arguments ...any) {
	if c.verbose {
		c.Say(format, arguments...)
	}
}

// Print prints lines as they are, together.
func (c *Console) Print(lines ...string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if len(c.queue) >= maxQueue {
		c.lost += len(lines)
		return
	}
	if c.lost > 0 {
		lines = append([]string{fmt.Sprintf("hullkit: %d lines were lost", c.lost)}, lines...)
		c.lost = 0
	}
	c.queue = append(c.queue, strings.Join(lines, "\n")+"\n")
	c.changed.Broadcast()
}

func (c *Console) write() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for {
		for len(c.queue) == 0 {
			c.changed.Wait()
		}
		text := strings.Join(c.queue, "")
		c.queue = nil
		c.writing = true
		c.mutex.Unlock()
		io.WriteString(c.writer, text)
		c.mutex.Lock()
		c.writing = false
		c.changed.Broadcast()
	}
}

// Flush waits until everything is written, at most as long as timeout.
func (c *Console) Flush(timeout time.Duration) {
	late := false
	timer := time.AfterFunc(timeout, func() {
		c.mutex.Lock()
		defer c.mutex.Unlock()
		late = true
		c.changed.Broadcast()
	})
	defer timer.Stop()
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for !late && (c.writing || len(c.queue) > 0) {
		c.changed.Wait()
	}
}

// Clean makes text from a container safe for a terminal: no control characters, no marks that turn the direction of
// writing, at most limit characters.
func Clean(text string, limit int) string {
	var clean strings.Builder
	count := 0
	for _, r := range text {
		if count++; count > limit {
			clean.WriteString("…")
			break
		}
		if isControl(r) {
			r = ' '
		}
		clean.WriteRune(r)
	}
	return clean.String()
}

// isControl knows the categories Cc and Cf of Unicode as far as terminals heed them; package unicode would cost 100 kB.
func isControl(r rune) bool {
	return r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e ||
		r >= 0x2060 && r <= 0x206f || r == 0xfeff || r >= 0xe0000
}
