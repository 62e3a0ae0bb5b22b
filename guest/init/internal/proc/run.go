package proc

import (
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

const maxOutput = 64 << 10

// Run starts a program, waits for it at most as long as timeout, and returns its exit and the beginning of its output
// (stdout and stderr). A program that takes longer is killed.
func (r *Reaper) Run(timeout time.Duration, args ...string) (Exit, string, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return Exit{}, "", err
	}
	defer reader.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		writer.Close()
		return Exit{}, "", err
	}
	process, err := r.Start(Command{Args: args, Files: []*os.File{null, writer, writer}})
	null.Close()
	writer.Close()
	if err != nil {
		return Exit{}, "", err
	}
	output := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(io.LimitReader(reader, maxOutput))
		// what is too much must not block the program
		io.Copy(io.Discard, reader)
		output <- string(text)
	}()
	var late error
	if !process.Wait(timeout) {
		process.Signal(syscall.SIGKILL)
		<-process.Done()
		late = fmt.Errorf("%s did not end within %v", args[0], timeout)
	}
	// a grandchild may hold the pipe open
	reader.SetReadDeadline(time.Now().Add(time.Second))
	return process.Exit(), <-output, late
}

// Wait waits for the end of the process, and tells whether it came in time.
func (p *Process) Wait(timeout time.Duration) bool {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-timer.C:
		return false
	}
}
