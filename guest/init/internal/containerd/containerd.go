// Package containerd keeps containerd and hull-service running, and speaks with hull-service, which knows containerd's
// API (guest/service): one JSON object a line, each request with a number that its answer repeats (docs/guest.md).
package containerd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"hullkit/guest/init/internal/hull"
	"hullkit/guest/init/internal/json"
	"hullkit/guest/init/internal/logs"
	"hullkit/guest/init/internal/proc"
)

const (
	daemonProgram  = "/usr/bin/containerd"
	serviceProgram = "/usr/bin/hull-service"
	// Cgroup is where containerd, its shims and hull-service are; a service of this name is refused (hull.validate)
	Cgroup   = "/sys/fs/cgroup/" + hull.Containerd
	logPath  = "/run/log/" + hull.Containerd + ".log"
	logBytes = 1 << 20
)

// what the programs that nobody else starts are given
var environment = []string{"PATH=/usr/sbin:/usr/bin", "HOME=/root"}

// Containerd is the daemon and the way to it.
type Containerd struct {
	reaper *proc.Reaper
	say    func(format string, arguments ...any)
	log    *logs.Log
	cgroup *os.File

	mutex    sync.Mutex
	stopping bool
	restarts int
	// trouble is why containerd is not expected to come up
	trouble error
	// link to hull-service; changed is closed and replaced when it does
	link    *link
	changed chan struct{}
}

// Start starts containerd and hull-service, and starts them again when they end. Where both are the same file, one
// process is both.
func Start(reaper *proc.Reaper, say func(format string, arguments ...any)) (*Containerd, error) {
	daemon, err := os.Stat(daemonProgram)
	if err != nil {
		return nil, fmt.Errorf("the supervisor is containerd: %w", err)
	}
	service, err := os.Stat(serviceProgram)
	if err != nil {
		return nil, fmt.Errorf("the supervisor is containerd: %w", err)
	}
	if err := os.MkdirAll(Cgroup, 0o755); err != nil {
		return nil, err
	}
	cgroup, err := os.Open(Cgroup)
	if err != nil {
		return nil, err
	}
	c := &Containerd{
		reaper: reaper, say: say, cgroup: cgroup, changed: make(chan struct{}),
		log: logs.New(logPath, logBytes, nil),
	}
	if os.SameFile(daemon, service) {
		go c.keep(daemonProgram, c.startLinked)
	} else {
		go c.keep(daemonProgram, c.startAlone)
		go c.keep(serviceProgram, c.startLinked)
	}
	return c, nil
}

// Stop lets the programs end.
func (c *Containerd) Stop() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.stopping = true
}

// Restarts counts starts of containerd after the first.
func (c *Containerd) Restarts() int {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.restarts
}

const (
	firstDelay = 100 * time.Millisecond
	maxDelay   = 10 * time.Second
	// a run of this length was no failure to start
	stableRun = 10 * time.Second
	// so many ends in a row without a stable run, and nobody waits for containerd any more
	patience = 5
)

// keep runs a program as long as the system runs.
func (c *Containerd) keep(program string, start func(program string) (*proc.Process, error)) {
	ends := 0
	for delay := firstDelay; ; delay = min(delay*2, maxDelay) {
		started := time.Now()
		process, err := start(program)
		if err == nil {
			stable := time.AfterFunc(stableRun, c.stable)
			<-process.Done()
			stable.Stop()
			err = errors.New("it " + process.Exit().String())
		}
		if time.Since(started) >= stableRun {
			ends, delay = 0, firstDelay
		}
		ends++
		if !c.ended(program, ends, err, delay) {
			return
		}
		time.Sleep(delay)
	}
}

// stable is called when a program has run for some time.
func (c *Containerd) stable() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.trouble = nil
}

// ended takes note of the end of a program, and tells whether it is to start again.
func (c *Containerd) ended(program string, ends int, why error, delay time.Duration) bool {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.stopping {
		return false
	}
	name := filepath.Base(program)
	c.say("%s: %v; starting again in %v", name, why, delay)
	if program == daemonProgram {
		c.restarts++
	}
	if ends >= patience {
		lines := append([]string{""}, c.log.Tail()...)
		c.trouble = fmt.Errorf("%s does not run: %w, %d times in a row: %s", name, why, ends, lines[len(lines)-1])
		c.wake()
	}
	return true
}

// wake tells all who wait that link or trouble has changed; the mutex is held.
func (c *Containerd) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *Containerd) startAlone(program string) (*proc.Process, error) { return c.start(program) }

// start starts a program in the cgroup, with its output going to the log.
func (c *Containerd) start(program string, more ...*os.File) (*proc.Process, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer writer.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		reader.Close()
		return nil, err
	}
	defer null.Close()
	process, err := c.reaper.Start(proc.Command{
		Args:   []string{program},
		Env:    environment,
		Files:  append([]*os.File{null, writer, writer}, more...),
		Cgroup: c.cgroup,
	})
	if err != nil {
		reader.Close()
		return nil, err
	}
	go func() {
		// ends with the last process that has the pipe: a shim may outlive containerd
		io.CopyBuffer(c.log, struct{ io.Reader }{reader}, make([]byte, 4096))
		c.log.Flush()
		reader.Close()
	}()
	return process, nil
}

// startLinked starts a program with a socket to it.
func (c *Containerd) startLinked(program string) (*proc.Process, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	process, err := c.start(program, theirs)
	theirs.Close()
	if err != nil {
		ours.Close()
		return nil, err
	}
	link := newLink(ours)
	c.use(link)
	go func() {
		link.read()
		c.use(nil)
	}()
	return process, nil
}

func (c *Containerd) use(link *link) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.link = link
	c.wake()
}

func socketPair() (ours, theirs *os.File, err error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	// what is not blocking can be closed while it is read
	syscall.SetNonblock(pair[0], true)
	return os.NewFile(uintptr(pair[0]), "hull-service"), os.NewFile(uintptr(pair[1]), "init"), nil
}

// connected waits for hull-service.
func (c *Containerd) connected(deadline time.Time) (*link, error) {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	for {
		c.mutex.Lock()
		link, trouble, changed := c.link, c.trouble, c.changed
		c.mutex.Unlock()
		if trouble != nil {
			return nil, trouble
		}
		if link != nil {
			return link, nil
		}
		select {
		case <-changed:
		case <-timer.C:
			return nil, errors.New("hull-service does not run")
		}
	}
}

// call makes a call, and makes it again as long as it finds hull-service or containerd gone.
func (c *Containerd) call(timeout time.Duration, name string, arguments ...any) (json.Field, error) {
	const pause = 100 * time.Millisecond
	deadline := time.Now().Add(timeout)
	for {
		link, err := c.connected(deadline)
		if err != nil {
			return json.Field{}, err
		}
		left := time.Until(deadline)
		answer, err := link.call(left, append(json.Object{"call", name, "seconds", left.Seconds()}, arguments...))
		if !errors.Is(err, ErrUnavailable) || time.Until(deadline) < pause {
			return answer, err
		}
		time.Sleep(pause)
	}
}
