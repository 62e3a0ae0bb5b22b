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
	// Free is what nothing uses, the processors' lists of free pages too
	Free int64
	// Kernel is what the kernel uses for itself: slab, vmalloc (stacks, modules), page tables and per-CPU data
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
		Free:      values["MemFree"],
		// stacks are in vmalloc where the kernel maps them (CONFIG_VMAP_STACK), and counted in both
		Kernel: values["Slab"] + max(values["VmallocUsed"], values["KernelStack"]) + values["PageTables"] +
			values["SecPageTables"] + values["Percpu"],
		Tmpfs:     values["Shmem"],
		PageCache: values["Cached"] + values["Buffers"] - values["Shmem"],
		Anonymous: values["AnonPages"],
	}
}

// ReadMemory reads the memory of this system.
func ReadMemory() Memory {
	text, _ := os.ReadFile("/proc/meminfo")
	zones, _ := os.ReadFile("/proc/zoneinfo")
	memory := ParseMemory(string(text))
	memory.Free += perCPUFree(string(zones))
	return memory
}

// perCPUFree reads from /proc/zoneinfo how much free memory is on the lists of single processors, which MemFree does
// not count (mm/vmstat.c, zoneinfo_show_print).
func perCPUFree(zones string) int64 {
	var pages int64
	for line := range strings.Lines(zones) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == "count:" {
			count, _ := strconv.ParseInt(fields[1], 10, 64)
			pages += count
		}
	}
	return pages * int64(os.Getpagesize())
}

// cgroupMemory is the memory of one container in bytes: all, what its processes allocated, cached files (tmpfs too, and
// by itself), what the kernel keeps for it.
type cgroupMemory struct{ current, anonymous, file, tmpfs, kernel int64 }

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
		case "shmem":
			memory.tmpfs = bytes
		case "kernel":
			memory.kernel = bytes
		}
	}
	return memory
}
