// Package console writes init's messages for people: few, short, one line each.
package console

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"
)

// Console is where messages go.
type Console struct {
	mutex   sync.Mutex
	writer  io.Writer
	verbose bool
}

// New makes a console; verbose shows debugging messages too.
func New(writer io.Writer, verbose bool) *Console {
	return &Console{writer: writer, verbose: verbose}
}

// SetVerbose switches debugging messages on.
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

// Print prints lines as they are.
func (c *Console) Print(lines ...string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	io.WriteString(c.writer, strings.Join(lines, "\n")+"\n")
}

// Clean makes text from a container safe for a terminal: no control characters, at most limit characters.
func Clean(text string, limit int) string {
	var clean strings.Builder
	count := 0
	for _, r := range text {
		if count++; count > limit {
			clean.WriteString("…")
			break
		}
		if r == '\t' || !unicode.IsPrint(r) {
			r = ' '
		}
		clean.WriteRune(r)
	}
	return clean.String()
}
