package modules

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"hullkit/guest/init/internal/sys"
)

// Loader loads modules of one directory, /lib/modules/VERSION. Its methods may be called at the same time.
type Loader struct {
	directory  string
	table      map[string]Entry
	parameters map[string]string
	insert     func(path, parameters string) error

	mutex sync.Mutex
	once  map[string]*loading
}

type loading struct {
	once sync.Once
	err  error
}

// Open reads the modules.dep of a directory. Without one, nothing is loaded: all that is needed may be built in.
func Open(directory, commandLine string) (*Loader, error) {
	text, err := os.ReadFile(filepath.Join(directory, "modules.dep"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return &Loader{
		directory:  directory,
		table:      ParseDep(string(text)),
		parameters: parameters(commandLine),
		insert:     insert,
		once:       map[string]*loading{},
	}, nil
}

// parameters finds MODULE.NAME=VALUE on the kernel command line: for modules that are not built in, they are ours to pass.
func parameters(commandLine string) map[string]string {
	found := map[string]string{}
	for _, word := range strings.Fields(commandLine) {
		key, value, ok := strings.Cut(word, "=")
		if module, name, dotted := strings.Cut(key, "."); ok && dotted {
			module = strings.ReplaceAll(module, "-", "_")
			found[module] = strings.TrimSpace(found[module] + " " + name + "=" + value)
		}
	}
	return found
}

// Has tells whether the directory holds a module of this name.
func (l *Loader) Has(name string) bool {
	_, ok := l.table[Name(name)]
	return ok
}

// Load loads the modules, each with what it needs, and waits. A module that is not in the directory is built in.
func (l *Loader) Load(names ...string) error {
	var failed []error
	for _, name := range names {
		for _, each := range order(l.table, Name(name)) {
			if err := l.loadOne(each); err != nil {
				failed = append(failed, err)
				break
			}
		}
	}
	return errors.Join(failed...)
}

// LoadAll loads the modules several at a time: the kernel decompresses each on the core that asks.
func (l *Loader) LoadAll(names []string) error {
	errs := make([]error, len(names))
	var group sync.WaitGroup
	for i, name := range names {
		group.Go(func() { errs[i] = l.Load(name) })
	}
	group.Wait()
	return errors.Join(errs...)
}

func (l *Loader) loadOne(name string) error {
	l.mutex.Lock()
	state := l.once[name]
	if state == nil {
		state = &loading{}
		l.once[name] = state
	}
	l.mutex.Unlock()
	state.once.Do(func() {
		path := filepath.Join(l.directory, l.table[name].Path)
		if err := l.insert(path, l.parameters[name]); err != nil {
			state.err = fmt.Errorf("kernel module %s: %w", name, err)
		}
	})
	return state.err
}

func insert(path, parameters string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	flags := 0
	if !strings.HasSuffix(path, ".ko") {
		flags = sys.ModuleInitCompressed
	}
	err = sys.FinitModule(file, parameters, flags)
	if errors.Is(err, syscall.EEXIST) {
		return nil
	}
	return err
}

// Find returns the modules that a name stands for: a module's own name, or an alias (modprobe(8)).
func (l *Loader) Find(name string) ([]string, error) {
	if l.Has(name) {
		return []string{name}, nil
	}
	aliases, err := l.aliases()
	return Matching(aliases, []string{name}), err
}

// Request is what the kernel starts as its modprobe: PROGRAM -q -- NAME (kernel/module/kmod.c). It tells whether
// arguments are such a call.
func Request(arguments []string) (name string, ok bool) {
	if len(arguments) == 4 && arguments[1] == "-q" && arguments[2] == "--" {
		return arguments[3], true
	}
	return "", false
}

func (l *Loader) aliases() (string, error) {
	text, err := os.ReadFile(filepath.Join(l.directory, "modules.alias"))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return string(text), err
}

// Coldplug loads the modules for all devices that are there (their modalias files below sysfs), and again for devices
// that those modules brought, until there are none. It returns the names of the modules asked for.
func (l *Loader) Coldplug(sysfs string) ([]string, error) {
	aliases, err := l.aliases()
	if err != nil {
		return nil, err
	}
	var loaded []string
	var failed []error
	seen := map[string]bool{}
	for {
		devices := newAliases(sysfs, seen)
		if len(devices) == 0 {
			return loaded, errors.Join(failed...)
		}
		var wanted []string
		for _, module := range Matching(aliases, devices) {
			if l.Has(module) && !slices.Contains(loaded, module) {
				wanted = append(wanted, module)
			}
		}
		if err := l.LoadAll(wanted); err != nil {
			failed = append(failed, err)
		}
		loaded = append(loaded, wanted...)
	}
}

// newAliases lists the modaliases of devices that are not in seen, and adds them to it.
func newAliases(sysfs string, seen map[string]bool) []string {
	files, _ := filepath.Glob(filepath.Join(sysfs, "bus/*/devices/*/modalias"))
	var found []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		alias := strings.TrimSpace(string(data))
		if err == nil && alias != "" && !seen[alias] {
			seen[alias] = true
			found = append(found, alias)
		}
	}
	return found
}
