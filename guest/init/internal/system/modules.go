package system

import (
	"errors"
	"os"
	"path/filepath"

	"hullkit/guest/init/internal/boot"
	"hullkit/guest/init/internal/modules"
	"hullkit/guest/init/internal/sys"
)

// ownProgram is this program wherever it lies; its file is gone from the initramfs.
const ownProgram = "/proc/1/exe"

// modulesParents is where modules may be: /lib is there only when something in the root links it to /usr/lib.
var modulesParents = []string{"/lib/modules", "/usr/lib/modules"}

func modulesDirectory(release string) string {
	for _, parent := range modulesParents {
		directory := filepath.Join(parent, release)
		if _, err := os.Stat(directory); err == nil {
			return directory
		}
	}
	return filepath.Join(modulesParents[0], release)
}

func openModules(options boot.Options) (*modules.Loader, error) {
	return modules.Open(modulesDirectory(sys.Uname()), options.CommandLine)
}

// loadModules loads the modules that are asked for and those of all devices, and makes this program the one that the
// kernel asks for more.
func (s *System) loadModules() error {
	loader, err := openModules(s.options)
	if err != nil {
		return err
	}
	var failed []error
	for _, name := range s.hull.Modules {
		found, err := loader.Find(name)
		failed = append(failed, err, loader.Load(found...))
	}
	loaded, err := loader.Coldplug("/sys")
	s.console.Debug("kernel modules for devices: %v", loaded)
	failed = append(failed, err, os.WriteFile("/proc/sys/kernel/modprobe", []byte(ownProgram), 0))
	return errors.Join(failed...)
}

// LoadModule loads a module for the kernel, which started this program to do so; the result is the exit status.
func LoadModule(name string) int {
	options, err := boot.ReadOptions()
	if err != nil {
		return 1
	}
	loader, err := openModules(options)
	if err != nil {
		return 1
	}
	found, err := loader.Find(name)
	if err != nil || len(found) == 0 || loader.Load(found...) != nil {
		return 1
	}
	return 0
}
