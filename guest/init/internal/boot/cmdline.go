// Package boot brings the system from the bare initramfs to its own root file system.
package boot

import (
	"os"
	"strings"
)

// Options are hullkit's words on the kernel command line.
type Options struct {
	Debug        bool
	WritableRoot bool
	// Verity says where a store on a disk is, and vouches for it
	Verity string
	// Control is the serial line with the control channel, below /dev; empty: the virtio port
	Control string
	// CommandLine is all of it
	CommandLine string
}

// ParseOptions reads a kernel command line.
func ParseOptions(line string) Options {
	options := Options{CommandLine: strings.TrimSpace(line)}
	for _, word := range strings.Fields(line) {
		switch word {
		case "hullkit.debug", "hullkit.debug=1":
			options.Debug = true
		case "hullkit.root=rw":
			options.WritableRoot = true
		}
		if value, ok := strings.CutPrefix(word, "hullkit.verity="); ok {
			options.Verity = value
		}
		if value, ok := strings.CutPrefix(word, "hullkit.control="); ok {
			options.Control = value
		}
	}
	return options
}

// ReadOptions reads the command line of this kernel; /proc must be mounted.
func ReadOptions() (Options, error) {
	line, err := os.ReadFile("/proc/cmdline")
	return ParseOptions(string(line)), err
}
