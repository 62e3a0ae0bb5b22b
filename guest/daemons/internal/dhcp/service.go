// Package dhcp is a client of DHCP for IPv4 (RFC 2131, 2132, 3396, 3397, 3442).
package dhcp

import (
	"syscall"

	"hullkit/guest/daemons/internal/sys"
)

// service runs a client for each interface.
type service struct {
	options Options
	files   files
	ports   []*port
	events  int // the socket that tells of interfaces
	written string
	bound   bool
}

// Main runs the command and returns its exit status.
func Main(arguments []string) int {
	options, err := parseOptions(arguments)
	if err != nil {
		sys.Log("dhcp: ", err.Error())
		sys.Log(usage)
		return 2
	}
	if options.Status {
		text, err := status(statusFile, sys.Now())
		if err != nil {
			sys.Log("dhcp: ", err.Error())
			return 1
		}
		sys.Print(text)
		return 0
	}
	if err := run(options, files{statusFile, resolvConf}); err != nil {
		sys.Log("dhcp: ", err.Error())
		return 1
	}
	return 0
}

// run ends with the first lease when it is to be oneshot, else only when something is wrong.
func run(options Options, files files) error {
	s := &service{options: options, files: files}
	var err error
	if s.events, err = sys.NetlinkSocket(sys.GroupLink); err != nil {
		return err
	}
	end := sys.Never
	if options.Oneshot && options.Timeout > 0 {
		end = sys.Now() + options.Timeout
	}
	// nothing of an earlier run is true any more
	s.write(s.files.status, "")
	if err := s.look(); err != nil {
		return err
	}
	for {
		if s.bound && options.Oneshot {
			return nil
		}
		now := sys.Now()
		if now >= end {
			return errTimeout
		}
		s.wait(now, end)
	}
}

// wait sleeps until something is due or arrives, and does it.
func (s *service) wait(now, end sys.Time) {
	wake := end
	files := []sys.PollFD{{FD: int32(s.events), Events: sys.PollIn}}
	for _, each := range s.ports {
		wake = min(wake, each.client.Wake())
		// a negative descriptor is passed over
		files = append(files, sys.PollFD{FD: int32(each.packets), Events: sys.PollIn}, sys.PollFD{FD: int32(each.arp), Events: sys.PollIn})
	}
	span := sys.Never
	if wake != sys.Never {
		span = wake - now
	}
	sys.Poll(files, span)
	for i, each := range s.ports {
		if files[1+2*i].Returns != 0 {
			each.receive()
		}
		if files[2+2*i].Returns != 0 {
			each.receiveARP()
		}
		each.client.Tick(sys.Now())
	}
	if files[0].Returns != 0 {
		s.drain()
		if err := s.look(); err != nil {
			sys.Log("dhcp: the interfaces cannot be read: ", err.Error())
		}
	}
}

// drain reads what the kernel tells of interfaces. What it says is looked up anew, for some of it may have been lost.
func (s *service) drain() {
	buffer := make([]byte, 8192)
	for {
		_, _, err := syscall.Recvfrom(s.events, buffer, 0)
		if err != nil && err != syscall.EINTR && err != syscall.ENOBUFS {
			return
		}
	}
}

// look finds new interfaces, and what has become of those that are known.
func (s *service) look() error {
	links, err := sys.Links()
	if err != nil {
		return err
	}
	left := s.ports[:0]
	for _, each := range s.ports {
		if link := byIndex(links, each.index); link != nil && s.options.wants(link) && MAC(link.MAC) == each.mac {
			each.name = link.Name
			left = append(left, each)
			continue
		}
		each.Log("it is gone")
		each.Listen(false)
	}
	changed := len(left) < len(s.ports)
	s.ports = left
	for i := range links {
		if s.options.wants(&links[i]) {
			s.follow(&links[i])
		}
	}
	if changed {
		s.changed()
	}
	return nil
}

// follow tells an interface's client of its carrier, and switches on one that is new.
func (s *service) follow(link *sys.Link) {
	var p *port
	for _, each := range s.ports {
		if each.index == link.Index {
			p = each
		}
	}
	if p == nil {
		p = newPort(link, s.options, s.changed)
		s.ports = append(s.ports, p)
		if !link.Up() {
			if err := sys.LinkUp(link.Index); err != nil {
				p.Log("it cannot be switched on: " + err.Error())
			}
		}
	}
	if link.Carrier() {
		p.client.Up(sys.Now())
	} else {
		p.client.Down()
	}
}

func byIndex(links []sys.Link, index int) *sys.Link {
	for i := range links {
		if links[i].Index == index {
			return &links[i]
		}
	}
	return nil
}

// changed writes what all leases say together.
func (s *service) changed() {
	var leases []*Lease
	text := ""
	for _, each := range s.ports {
		if each.lease != nil {
			leases = append(leases, each.lease)
			text += statusText(each.name, each.lease)
		}
	}
	s.bound = s.bound || len(leases) > 0
	s.write(s.files.status, text)
	// a resolv.conf of somebody else stays when no server names any name server
	if text := resolverText(leases); text != s.written {
		s.write(s.files.resolver, text)
		s.written = text
	}
}

func (s *service) write(path, text string) {
	if err := writeWhole(path, text); err != nil {
		sys.Log("dhcp: ", path, " cannot be written: ", err.Error())
	}
}
