package dhcp

import (
	"errors"

	"hullkit/guest/daemons/internal/sys"
)

// Route is a way to a network; without a gateway its hosts are on the link.
type Route struct {
	Net     IP
	Prefix  int
	Gateway IP
}

// Lease is what a server gave, checked.
type Lease struct {
	Address IP
	Prefix  int
	Server  IP
	Routes  []Route
	// MTU: 0 when the server does not say
	MTU    int
	DNS    []IP
	Domain string
	Search []string
	// Renew, Rebind and End are points in time; Never in a lease without an end
	Renew, Rebind, End sys.Time
}

const (
	// what a hostile server may make this machine keep
	maxServers  = 3 // resolv.conf(5)
	maxRouters  = 4
	maxRoutes   = 64
	smallestMTU = 576
	// a shorter lease would be a flood of requests
	shortest = 10
	infinite = 0xffffffff
)

var (
	errAddress  = errors.New("no address that a host may have")
	errServerID = errors.New("it does not say which server it is")
	errTime     = errors.New("its time is missing or too short")
	errMask     = errors.New("its network mask is none")
)

// newLease takes a lease from an offer or an acknowledgement; from is when it was asked for, which is when its time
// begins (RFC 2131, 4.4.1).
func newLease(m *Message, from sys.Time) (*Lease, error) {
	lease := &Lease{Address: m.YIAddr, Prefix: classPrefix(m.YIAddr)}
	if !lease.Address.host() {
		return nil, errAddress
	}
	var ok bool
	if lease.Server, ok = m.address(optServer); !ok || !lease.Server.host() {
		return nil, errServerID
	}
	if given, present := m.address(optMask); present {
		if lease.Prefix, ok = prefixLength(given); !ok || lease.Prefix == 0 {
			return nil, errMask
		}
	}
	if err := lease.setTimes(m, from); err != nil {
		return nil, err
	}
	lease.setRoutes(m)
	if value := m.get(optMTU); len(value) == 2 {
		if mtu := int(value[0])<<8 | int(value[1]); mtu >= smallestMTU {
			lease.MTU = mtu
		}
	}
	lease.DNS = m.addresses(optDNS, maxServers)
	if domain := text(m.get(optDomain)); domainName(domain) {
		lease.Domain = domain
	}
	lease.Search = searchList(m.get(optSearch))
	return lease, nil
}

// setTimes: T1 and T2 are half and seven eighths of the lease's time unless the server says otherwise (4.4.5).
func (lease *Lease) setTimes(m *Message, from sys.Time) error {
	seconds, ok := m.number(optLeaseTime)
	if !ok || seconds < shortest {
		return errTime
	}
	if seconds == infinite {
		lease.Renew, lease.Rebind, lease.End = sys.Never, sys.Never, sys.Never
		return nil
	}
	span := sys.Time(seconds) * sys.Second
	renew, rebind := span/2, span/8*7
	t1, given1 := m.number(optT1)
	t2, given2 := m.number(optT2)
	if given2 && t2 > 0 && t2 < seconds {
		rebind = sys.Time(t2) * sys.Second
	}
	if given1 && t1 > 0 && t1 < seconds {
		renew = sys.Time(t1) * sys.Second
	}
	if renew >= rebind {
		renew, rebind = span/2, span/8*7
	}
	lease.Renew, lease.Rebind, lease.End = from+renew, from+rebind, from+span
	return nil
}

// setRoutes: a server that sends classless routes means them instead of routers (RFC 3442).
func (lease *Lease) setRoutes(m *Message) {
	value := m.get(optStaticRoutes)
	if value == nil {
		if routers := m.addresses(optRouter, maxRouters); len(routers) > 0 {
			lease.Routes = []Route{{Gateway: routers[0]}}
		}
		return
	}
	for len(value) > 0 && len(lease.Routes) < maxRoutes {
		prefix := int(value[0])
		octets := (prefix + 7) / 8
		if prefix > 32 || len(value) < 1+octets+4 {
			return
		}
		route := Route{Prefix: prefix, Gateway: IP(value[1+octets : 5+octets])}
		copy(route.Net[:], value[1:1+octets])
		route.Net = fromNumber(route.Net.number() & mask(prefix))
		if route.Gateway.zero() || route.Gateway.host() {
			lease.Routes = append(lease.Routes, route)
		}
		value = value[5+octets:]
	}
}

// router is the gateway of the default route, zero without one.
func (lease *Lease) router() IP {
	for _, route := range lease.Routes {
		if route.Prefix == 0 {
			return route.Gateway
		}
	}
	return IP{}
}
