package dhcp

import "strings"

const (
	maxName   = 253
	maxSearch = 6 // resolv.conf(5), older C libraries
)

// text of an option; some servers end it with a zero.
func text(value []byte) string { return strings.TrimRight(string(value), "\x00") }

// domainName tells whether a name can stand in a file: dots, and labels of letters, digits, "-" and "_".
func domainName(name string) bool {
	if len(name) == 0 || len(name) > maxName || name[0] == '.' {
		return false
	}
	for i := range len(name) {
		c := name[i]
		letter := c|32 >= 'a' && c|32 <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_'
		if !letter && (c != '.' || name[i-1] == '.') {
			return false
		}
	}
	return true
}

// searchList reads domain names as in DNS, whose ends may be references to earlier ones (RFC 3397; RFC 1035, 4.1.4).
// What is not well formed ends the list.
func searchList(value []byte) []string {
	var list []string
	for at := 0; at < len(value) && len(list) < maxSearch; {
		name, next, ok := dnsName(value, at)
		if !ok {
			break
		}
		if domainName(name) {
			list = append(list, name)
		}
		at = next
	}
	return list
}

// dnsName reads the name at a position. A reference must lead further back than where it was read from, so it ends.
func dnsName(value []byte, at int) (name string, next int, ok bool) {
	limit := at
	for at < len(value) && len(name) <= maxName {
		length := int(value[at])
		switch {
		case length == 0:
			if next == 0 {
				next = at + 1
			}
			return name, next, true
		case length < 64:
			if at+1+length > len(value) {
				return "", 0, false
			}
			if name != "" {
				name += "."
			}
			name += string(value[at+1 : at+1+length])
			at += 1 + length
		case length >= 192 && at+1 < len(value):
			to := (length&63)<<8 | int(value[at+1])
			if to >= limit {
				return "", 0, false
			}
			if next == 0 {
				next = at + 2
			}
			limit, at = to, to
		default:
			return "", 0, false
		}
	}
	return "", 0, false
}
