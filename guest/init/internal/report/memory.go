// Package report tells what runs and what it costs, as data (docs/guest.md).
package report

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Memory of the system, in bytes.
type Memory struct {
	Total     int64
	Available int64
	// Kernel is what the kernel uses for itself: slab, stacks, page tables and per-CPU data
	Kernel int64
	// Tmpfs is what lies in tmpfs: the initramfs with its store too
	Tmpfs int64
	// PageCache is what is cached of files elsewhere, and can be given up
	PageCache int64
	// Anonymous is what processes have allocated
	Anonymous int64
}

// ParseMemory reads /proc/meminfo (proc_meminfo(5)).
func ParseMemory(text string) Memory {
	values := map[string]int64{}
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(line, ":")
		if fields := strings.Fields(rest); len(fields) > 0 {
			kilobytes, _ := strconv.ParseInt(fields[0], 10, 64)
			values[name] = kilobytes << 10
		}
	}
	return Memory{
		Total:     values["MemTotal"],
		Available: values["MemAvailable"],
		Kernel: values["Slab"] + values["KernelStack"] + values["PageTables"] + values["SecPageTables"] +
			values["Percpu"],
		Tmpfs:     values["Shmem"],
		PageCache: values["Cached"] + values["Buffers"] - values["Shmem"],
		Anonymous: values["AnonPages"],
	}
}

// ReadMemory reads the memory of this system.
func ReadMemory() Memory {
	text, _ := os.ReadFile("/proc/meminfo")
	return ParseMemory(string(text))
}

// cgroupMemory is the memory of one container in bytes: all, what its processes allocated, cached files.
type cgroupMemory struct{ current, anonymous, file int64 }

// readCgroup reads the memory controller's files of a cgroup; nil if it has none.
func readCgroup(directory string) *cgroupMemory {
	if directory == "" {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(directory, "memory.current"))
	if err != nil {
		return nil
	}
	current, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return nil
	}
	memory := &cgroupMemory{current: current}
	statistics, _ := os.ReadFile(filepath.Join(directory, "memory.stat"))
	for line := range strings.Lines(string(statistics)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		bytes, _ := strconv.ParseInt(value, 10, 64)
		switch name {
		case "anon":
			memory.anonymous = bytes
		case "file":
			memory.file = bytes
		}
	}
	return memory
}
