package dhcp

import (
	"syscall"

	"hullkit/guest/daemons/internal/sys"
)

const (
	// byDHCP marks addresses and routes as ours (RTPROT_DHCP), also those of a run before this one
	byDHCP = 16
	// routes of several interfaces to the same network differ in their metric
	firstMetric = 1000
)

// Configure sets the address with the lease's life, so that it goes even when nobody is left to take it away; then MTU
// and routes. What an earlier lease left is removed.
func (p *port) Configure(lease *Lease) error {
	p.lease = lease
	// first: addresses of one network go with the first of them
	p.clearAddresses(lease)
	var err error
	if lease != nil {
		if err = p.setAddress(lease); err == nil {
			p.setMTU(lease.MTU)
			p.setRoutes(lease)
		}
	}
	p.changed()
	return err
}

func (p *port) setAddress(lease *Lease) error {
	life := sys.Never
	if lease.End != sys.Never {
		life = lease.End - sys.Now()
	}
	last, ok := subnetBroadcast(lease.Address, lease.Prefix)
	if !ok {
		last = IP{}
	}
	return sys.AddrSet(sys.Addr{Index: p.index, IP: lease.Address, Prefix: lease.Prefix, Protocol: byDHCP}, last, life)
}

// clearAddresses removes addresses of other leases; their routes go with them.
func (p *port) clearAddresses(lease *Lease) {
	addrs, err := sys.Addrs()
	if err != nil {
		p.Log("its addresses cannot be read: " + err.Error())
	}
	for _, each := range addrs {
		if each.Index != p.index || each.Protocol != byDHCP {
			continue
		}
		if lease != nil && each.IP == lease.Address && each.Prefix == lease.Prefix {
			continue
		}
		// the kernel may have removed it at the end of its life
		if err := sys.AddrDelete(each); err != nil && err != syscall.EADDRNOTAVAIL {
			p.Log(IP(each.IP).String() + " cannot be removed: " + err.Error())
		}
	}
}

// setMTU sets what the lease says, or what the interface had before any lease said something.
func (p *port) setMTU(mtu int) {
	if mtu == 0 {
		mtu = p.mtu
	}
	links, err := sys.Links()
	for _, each := range links {
		if each.Index == p.index && each.MTU != mtu {
			err = sys.LinkMTU(p.index, mtu)
		}
	}
	if err != nil {
		p.Log("its MTU cannot be set: " + err.Error())
	}
}

func (p *port) setRoutes(lease *Lease) {
	wanted := make([]sys.RouteEntry, 0, len(lease.Routes))
	// those on the link first: gateways of others may be there
	for _, onLink := range []bool{true, false} {
		for _, each := range lease.Routes {
			if each.Gateway.zero() != onLink {
				continue
			}
			entry := sys.RouteEntry{
				Index: p.index, Net: each.Net, Prefix: each.Prefix, Gateway: each.Gateway, Source: lease.Address,
				Metric: firstMetric + p.index, Protocol: byDHCP,
			}
			wanted = append(wanted, entry)
			if err := sys.RouteSet(entry, !each.Gateway.within(lease.Address, lease.Prefix)); err != nil {
				p.Log("the route to " + each.Net.String() + " by " + each.Gateway.String() + " cannot be set: " + err.Error())
			}
		}
	}
	routes, err := sys.Routes()
	if err != nil {
		p.Log("its routes cannot be read: " + err.Error())
	}
	for _, each := range routes {
		if each.Index == p.index && each.Protocol == byDHCP && !contains(wanted, each) {
			if err := sys.RouteDelete(each); err != nil {
				p.Log("the route to " + IP(each.Net).String() + " cannot be removed: " + err.Error())
			}
		}
	}
}

func contains(routes []sys.RouteEntry, route sys.RouteEntry) bool {
	for _, each := range routes {
		if each == route {
			return true
		}
	}
	return false
}
