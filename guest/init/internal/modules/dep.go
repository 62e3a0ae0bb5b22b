// Package modules loads kernel modules from a tree of compressed files, as kmod would.
package modules

import (
	"path"
	"strings"
)

// ParseDep reads modules.dep: module name to its path and the paths that it depends on (modules.dep(5)).
func ParseDep(text string) map[string]Entry {
	table := map[string]Entry{}
	for line := range strings.Lines(text) {
		file, depends, ok := strings.Cut(strings.TrimSpace(line), ":")
		if ok {
			table[Name(file)] = Entry{file, strings.Fields(depends)}
		}
	}
	return table
}

// Entry is one line of modules.dep; paths are relative to the directory of the file.
type Entry struct {
	Path    string
	Depends []string
}

// Name of the module in a file: without directory and .ko.xz, with underscores.
func Name(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// order lists a module after all that it needs; what is not in the table is left out (it is built in).
func order(table map[string]Entry, name string) []string {
	var sorted []string
	seen := map[string]bool{}
	var visit func(string)
	visit = func(name string) {
		entry, known := table[name]
		if !known || seen[name] {
			return
		}
		seen[name] = true
		for _, each := range entry.Depends {
			visit(Name(each))
		}
		sorted = append(sorted, name)
	}
	visit(name)
	return sorted
}
