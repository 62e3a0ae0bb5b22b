package dhcp

import (
	"errors"
	"strconv"
	"strings"

	"hullkit/guest/daemons/internal/sys"
)

const usage = `usage: dhcp [-i INTERFACE]... [--hostname NAME] [--no-arp] [--oneshot [--timeout SECONDS]]
       dhcp --status`

// Options are what the command line says.
type Options struct {
	// Interfaces by name; none: all Ethernet devices
	Interfaces []string
	// Hostname to tell servers
	Hostname string
	// NoARP: an address is taken without looking whether another host has it
	NoARP bool
	// Oneshot: end with the first lease, or with an error after Timeout (0: never)
	Oneshot bool
	Timeout sys.Time
	Status  bool
}

var errTimeout = errors.New("there is no lease after the time that --timeout gives")

func parseOptions(arguments []string) (Options, error) {
	options := Options{Timeout: 30 * sys.Second}
	for len(arguments) > 0 {
		name, value, glued := strings.Cut(arguments[0], "=")
		arguments = arguments[1:]
		switch name {
		case "-i", "--interface", "--hostname", "--timeout":
			if !glued {
				if len(arguments) == 0 {
					return options, errors.New(name + " needs a value")
				}
				value, arguments = arguments[0], arguments[1:]
			}
			if err := options.set(name, value); err != nil {
				return options, err
			}
			continue
		case "--no-arp":
			options.NoARP = true
		case "--oneshot":
			options.Oneshot = true
		case "--status":
			options.Status = true
		default:
			return options, errors.New("there is no option " + name)
		}
		if glued {
			return options, errors.New(name + " takes no value")
		}
	}
	return options, nil
}

func (o *Options) set(name, value string) error {
	switch name {
	case "--hostname":
		if !domainName(value) {
			return errors.New(value + " is no host name")
		}
		o.Hostname = value
	case "--timeout":
		seconds, err := strconv.ParseUint(value, 10, 31)
		if err != nil {
			return errors.New("--timeout needs a number of seconds, not " + value)
		}
		o.Timeout = sys.Time(seconds) * sys.Second
	default:
		if value == "" {
			return errors.New(name + " needs the name of an interface")
		}
		o.Interfaces = append(o.Interfaces, value)
	}
	return nil
}

// wants tells whether an interface gets a client: those that are named, else Ethernet devices. What has a kind is made by
// software (veth, bridge, tun, ...) and somebody else's, and so is a port of a bridge or bond.
func (o *Options) wants(link *sys.Link) bool {
	if link.Hardware != ethernet || len(link.MAC) != len(MAC{}) {
		return false
	}
	if len(o.Interfaces) == 0 {
		return link.Kind == "" && !link.Master
	}
	return listed(o.Interfaces, link.Name)
}
