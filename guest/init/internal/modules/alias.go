package modules

import (
	"slices"
	"sort"
	"strings"
)

// Matching returns the modules whose aliases match one of the device aliases, sorted, each once. text is modules.alias:
// lines "alias PATTERN MODULE" (depmod(8)). The text is read once and not kept; few of its thousands of lines get
// further than a comparison of their beginning.
func Matching(text string, devices []string) []string {
	sorted := slices.Clone(devices)
	sort.Strings(sorted)
	var found []string
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, "alias ")
		if !ok {
			continue
		}
		end := strings.LastIndexByte(rest, ' ')
		if end <= 0 {
			continue
		}
		pattern, module := rest[:end], strings.TrimSpace(rest[end+1:])
		if matchesAny(pattern, sorted) && !slices.Contains(found, module) {
			found = append(found, module)
		}
	}
	sort.Strings(found)
	return found
}

func matchesAny(pattern string, sorted []string) bool {
	literal := pattern
	if i := strings.IndexAny(pattern, `*?[\`); i >= 0 {
		literal = pattern[:i]
	}
	i := sort.SearchStrings(sorted, literal)
	for ; i < len(sorted) && strings.HasPrefix(sorted[i], literal); i++ {
		if match(pattern[len(literal):], sorted[i][len(literal):]) {
			return true
		}
	}
	return false
}

// match is fnmatch(3) without flags: *, ?, [a-z] and backslash.
func match(pattern, text string) bool {
	// where to try again when the text after the latest * does not fit
	retryPattern, retryText := -1, 0
	p, t := 0, 0
	for t < len(text) || p < len(pattern) {
		if p < len(pattern) && pattern[p] == '*' {
			p++
			retryPattern, retryText = p, t
			continue
		}
		if p < len(pattern) && t < len(text) {
			if ok, size := matchOne(pattern[p:], text[t]); ok {
				p += size
				t++
				continue
			}
		}
		if retryPattern < 0 || retryText >= len(text) {
			return false
		}
		retryText++
		p, t = retryPattern, retryText
	}
	return true
}

// matchOne matches one character and tells how long its pattern is.
func matchOne(pattern string, c byte) (bool, int) {
	switch pattern[0] {
	case '?':
		return true, 1
	case '[':
		// a ] that comes first is one of the set
		if len(pattern) > 2 {
			if end := strings.IndexByte(pattern[2:], ']'); end >= 0 {
				return matchSet(pattern[1:2+end], c), end + 3
			}
		}
	case '\\':
		if len(pattern) > 1 {
			return pattern[1] == c, 2
		}
	}
	return pattern[0] == c, 1
}

// matchSet matches the inside of [...].
func matchSet(set string, c byte) bool {
	negated := len(set) > 1 && (set[0] == '!' || set[0] == '^')
	if negated {
		set = set[1:]
	}
	for i := 0; i < len(set); i++ {
		if i+2 < len(set) && set[i+1] == '-' {
			if set[i] <= c && c <= set[i+2] {
				return !negated
			}
			i += 2
		} else if set[i] == c {
			return !negated
		}
	}
	return negated
}
