// Package sysctl applies kernel parameters from files, as sysctl.d(5) describes them.
package sysctl

import "strings"

// setting is one line of a file.
type setting struct {
	line  int
	key   string
	value string
	// optional: it began with "-", and is not missed where it cannot be set
	optional bool
}

// problem is what is wrong with a line.
type problem struct {
	line    int
	message string
}

// parse reads the lines of a file: `KEY = VALUE`, empty ones, and comments that begin with # or ;.
func parse(text string) (settings []setting, problems []problem) {
	for number, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		rest, optional := strings.CutPrefix(line, "-")
		key, value, found := strings.Cut(rest, "=")
		key = strings.TrimSpace(key)
		switch {
		case !found:
			problems = append(problems, problem{number + 1, "a line is KEY = VALUE, this one has no ="})
		case !proper(key):
			problems = append(problems, problem{number + 1, key + " is no name of a parameter"})
		default:
			settings = append(settings, setting{number + 1, key, strings.TrimSpace(value), optional})
		}
	}
	return settings, problems
}

// proper tells whether the path of a key stays below /proc/sys.
func proper(key string) bool {
	for _, part := range strings.Split(path(key), "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return strings.IndexByte(key, 0) < 0
}

// path is where a parameter is below /proc/sys. When the first separator is a dot, dots separate and a slash stands for
// a dot in a name (net.ipv4.conf.eth0/100.forwarding); when it is a slash, the key is the path.
func path(key string) string {
	first := strings.IndexAny(key, "./")
	if first < 0 || key[first] == '/' {
		return key
	}
	swapped := []byte(key)
	for i, c := range swapped {
		switch c {
		case '.':
			swapped[i] = '/'
		case '/':
			swapped[i] = '.'
		}
	}
	return string(swapped)
}
