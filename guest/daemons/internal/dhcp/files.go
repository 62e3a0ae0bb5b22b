package dhcp

import (
	"errors"
	"strconv"
	"strings"
	"syscall"

	"hullkit/guest/daemons/internal/sys"
)

const (
	resolvConf = "/run/resolvconf/resolv.conf"
	// statusFile is what --status reads: it lasts as long as the container's /run
	statusFile = "/run/dhcp.leases"
	until      = "until="
	foreverEnd = "never"
	maxStatus  = 1 << 16
)

// files are where the service writes to.
type files struct{ status, resolver string }

// resolverText is what resolv.conf(5) says by all leases: the domains and name servers of the first interfaces first.
func resolverText(leases []*Lease) string {
	var search []string
	servers := ""
	count := 0
	for _, lease := range leases {
		names := lease.Search
		if len(names) == 0 && lease.Domain != "" {
			names = []string{lease.Domain}
		}
		for _, name := range names {
			if !listed(search, name) && len(search) < maxSearch {
				search = append(search, name)
			}
		}
		for _, server := range lease.DNS {
			if count < maxServers {
				servers += "nameserver " + server.String() + "\n"
				count++
			}
		}
	}
	if len(search) > 0 {
		return "search " + strings.Join(search, " ") + "\n" + servers
	}
	return servers
}

func listed(names []string, name string) bool {
	for _, each := range names {
		if each == name {
			return true
		}
	}
	return false
}

// writeWhole gives a file its text. It stays the same file, for containers may have bound it: a new one in its place
// would never be seen by them. One write puts all of the text there, and it is never empty in between.
func writeWhole(path, text string) error {
	fd, err := sys.Open(path, syscall.O_WRONLY|syscall.O_CREAT)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	if err := sys.WriteAll(fd, []byte(text)); err != nil {
		return err
	}
	return syscall.Ftruncate(fd, int64(len(text)))
}

// statusText tells of a lease in lines KEY=VALUE; what it does not have is left out. Its end is a time of this boot.
func statusText(name string, lease *Lease) string {
	text := "interface=" + name +
		"\naddress=" + lease.Address.String() + "/" + strconv.Itoa(lease.Prefix) +
		"\nserver=" + lease.Server.String() + "\n"
	if router := lease.router(); !router.zero() {
		text += "router=" + router.String() + "\n"
	}
	if len(lease.DNS) > 0 {
		text += "nameservers=" + joinIPs(lease.DNS) + "\n"
	}
	if lease.Domain != "" {
		text += "domain=" + lease.Domain + "\n"
	}
	if len(lease.Search) > 0 {
		text += "search=" + strings.Join(lease.Search, " ") + "\n"
	}
	if lease.MTU != 0 {
		text += "mtu=" + strconv.Itoa(lease.MTU) + "\n"
	}
	if lease.End == sys.Never {
		return text + until + foreverEnd + "\n"
	}
	return text + until + strconv.FormatInt(int64(lease.End/sys.Second), 10) + "\n"
}

var errNoLease = errors.New("there is no lease")

// status is what --status prints: the leases, with the seconds that are left of them.
func status(path string, now sys.Time) (string, error) {
	data, err := sys.ReadFile(path, maxStatus)
	if err == syscall.ENOENT || err == nil && len(data) == 0 {
		return "", errNoLease
	}
	if err != nil {
		return "", err
	}
	text := ""
	for _, line := range strings.SplitAfter(string(data), "\n") {
		end, found := strings.CutPrefix(strings.TrimSuffix(line, "\n"), until)
		switch {
		case !found:
			text += line
		case end == foreverEnd:
			text += "expires=never\n"
		default:
			seconds, err := strconv.ParseInt(end, 10, 64)
			if err != nil {
				return "", errors.New(path + " has no time in " + line)
			}
			text += "expires=" + strconv.FormatInt(max(seconds-int64(now/sys.Second), 0), 10) + "\n"
		}
	}
	return text, nil
}
