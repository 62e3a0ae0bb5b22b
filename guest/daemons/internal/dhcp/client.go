package dhcp

import (
	"math/rand/v2"
	"strconv"

	"hullkit/guest/daemons/internal/sys"
)

// state of a client (RFC 2131, figure 5). There is no INIT-REBOOT: with nothing stored, an address is asked for anew.
type state int

const (
	down       state = iota // no carrier
	pausing                 // before it starts over
	selecting               // has asked for offers
	requesting              // has asked for an offered address
	probing                 // looks whether another host has the address
	bound
	renewing  // asks the lease's server
	rebinding // asks any server
)

const (
	firstWait   = 4 * sys.Second // doubled up to longestWait, and up to one second off (4.1)
	longestWait = 64 * sys.Second
	maxRequests = 4
	minRenew    = 60 * sys.Second // between requests of one who has an address (4.4.5)
	afterNAK    = 2 * sys.Second
	afterClash  = 10 * sys.Second // 3.1, 5
	// RFC 5227 takes up to seven seconds for this, which is too long for a machine to wait at each boot
	probes     = 2
	probeEvery = 200 * sys.Millisecond
)

// Link is what a client needs of its interface.
type Link interface {
	MAC() MAC
	// Listen opens what answers arrive by, or closes it.
	Listen(on bool) error
	// Broadcast sends to all servers, from an address (zero without one).
	Broadcast(message []byte, source IP) error
	// Unicast sends to one server from the interface's address.
	Unicast(message []byte, source, server IP) error
	// Probe asks whether another host has the address; Announce tells that this one has it now.
	Probe(address IP) error
	Announce(address IP)
	// Configure makes the interface have what the lease says, and nothing of an earlier one; nil: nothing.
	Configure(lease *Lease) error
	Log(text string)
}

// Client keeps a lease for one interface. It does nothing by itself: whoever has it calls Up, Down, Receive and
// Conflict when such things happen, and Tick at Wake.
type Client struct {
	link    Link
	options Options

	state    state
	deadline sys.Time // of the state
	attempt  int
	xid      uint32
	begun    sys.Time // the exchange
	sent     sys.Time // the last request
	// offered: the lease that is being asked for; lease: the one that the interface is configured with
	offered, lease *Lease
}

func newClient(link Link, options Options) *Client {
	return &Client{link: link, options: options, deadline: sys.Never}
}

// Wake is when Tick must be called next.
func (c *Client) Wake() sys.Time {
	if c.lease != nil {
		return min(c.deadline, c.lease.End)
	}
	return c.deadline
}

// Up: the interface has a carrier.
func (c *Client) Up(now sys.Time) {
	if c.state == down {
		c.link.Log("it has a carrier")
		c.start(now)
	}
}

// Down: it has lost its carrier. What it is configured with stays as long as the lease does.
func (c *Client) Down() {
	if c.state != down {
		c.link.Log("it has lost its carrier")
		c.enter(down, sys.Never)
	}
}

// Tick does what is due.
func (c *Client) Tick(now sys.Time) {
	if c.lease != nil && now >= c.lease.End {
		c.link.Log("the lease of " + c.lease.Address.String() + " has ended")
		c.drop()
		if c.state == bound || c.state == renewing || c.state == rebinding {
			c.start(now)
		}
	}
	if now < c.deadline {
		return
	}
	switch c.state {
	case pausing:
		c.start(now)
	case selecting:
		c.attempt++
		c.ask(now)
	case requesting:
		if c.attempt++; c.attempt == maxRequests {
			c.start(now)
			return
		}
		c.ask(now)
	case probing:
		if c.attempt++; c.attempt < probes {
			c.probe(now)
			return
		}
		c.bind(now)
	case bound:
		c.begin(now)
		c.again(now, renewing)
	case renewing, rebinding:
		c.again(now, c.state)
	}
}

// enter changes the state; the ears are open only while an answer is awaited.
func (c *Client) enter(next state, deadline sys.Time) {
	c.state, c.deadline = next, deadline
	listen := next == selecting || next == requesting || next == probing || next == renewing || next == rebinding
	if err := c.link.Listen(listen); err != nil {
		c.link.Log("listening failed: " + err.Error())
	}
}

// begin is the begin of an exchange with a server.
func (c *Client) begin(now sys.Time) {
	c.xid, c.begun, c.attempt = rand.Uint32(), now, 0
}

func (c *Client) start(now sys.Time) {
	c.begin(now)
	c.enter(selecting, now)
	c.ask(now)
}

// ask sends DISCOVER or REQUEST, and waits longer for an answer each time.
func (c *Client) ask(now sys.Time) {
	m := c.message(now)
	if c.state == selecting {
		m.add(optType, discover)
		if c.lease != nil {
			m.add(optRequestedIP, c.lease.Address[:]...)
		}
	} else {
		m.add(optType, request)
		m.add(optRequestedIP, c.offered.Address[:]...)
		m.add(optServer, c.offered.Server[:]...)
	}
	c.send(m, IP{}, IP{}, now)
	c.deadline = now + wait(c.attempt)
}

func wait(attempt int) sys.Time {
	span := longestWait
	if attempt < 4 {
		span = firstWait << attempt
	}
	return span - sys.Second + sys.Time(rand.Int64N(int64(2*sys.Second)))
}

// again asks for the same lease: its server until T2, then all. A request follows after half of the time that is left.
func (c *Client) again(now sys.Time, next state) {
	until := c.lease.Rebind
	if now >= until {
		next, until = rebinding, c.lease.End
	}
	if c.state != next {
		c.enter(next, now)
	}
	m := c.message(now)
	m.CIAddr = c.lease.Address
	m.add(optType, request)
	if next == renewing {
		c.send(m, c.lease.Address, c.lease.Server, now)
	} else {
		c.send(m, c.lease.Address, IP{}, now)
	}
	c.deadline = min(until, now+max((until-now)/2, minRenew))
}

func (c *Client) message(now sys.Time) *Message {
	mac := c.link.MAC()
	return &Message{Op: bootRequest, XID: c.xid, Secs: uint16(min((now-c.begun)/sys.Second, 65535)), MAC: mac}
}

// send completes a message that asks for something. Failures are told and mended by asking again.
func (c *Client) send(m *Message, source, server IP, now sys.Time) {
	m.add(optClientID, append([]byte{ethernet}, m.MAC[:]...)...)
	if m.kind() != decline {
		m.add(optMaxSize, largest>>8, largest&255)
		if c.options.Hostname != "" {
			m.add(optHostname, []byte(c.options.Hostname)...)
		}
		// classless routes are to be asked for before routers (RFC 3442)
		m.add(optParameters, optMask, optStaticRoutes, optRouter, optDNS, optDomain, optMTU, optSearch, optT1, optT2)
	}
	c.sent = now
	var err error
	if server.zero() {
		err = c.link.Broadcast(m.bytes(), source)
	} else {
		err = c.link.Unicast(m.bytes(), source, server)
	}
	if err != nil {
		c.link.Log("sending failed: " + err.Error())
	}
}

// Receive takes a message from a server.
func (c *Client) Receive(m *Message, now sys.Time) {
	if m.Op != bootReply || m.XID != c.xid || m.MAC != c.link.MAC() {
		return
	}
	switch kind := m.kind(); {
	case kind == offer && c.state == selecting:
		lease, err := newLease(m, now)
		if err != nil {
			c.link.Log("an offer of " + m.YIAddr.String() + " is refused: " + err.Error())
			return
		}
		c.offered, c.attempt = lease, 0
		c.enter(requesting, now)
		c.ask(now)
	case kind == ack && (c.state == requesting || c.state == renewing || c.state == rebinding):
		c.acknowledged(m, now)
	case kind == nak && (c.state == requesting || c.state == renewing || c.state == rebinding):
		c.refused(m, now)
	}
}

func (c *Client) acknowledged(m *Message, now sys.Time) {
	lease, err := newLease(m, c.sent)
	if err != nil {
		c.link.Log("an acknowledgement is refused: " + err.Error())
		return
	}
	if c.state == requesting && (lease.Server != c.offered.Server || lease.Address != c.offered.Address) {
		return
	}
	known := c.lease != nil && c.lease.Address == lease.Address
	if c.state != requesting && !known {
		return // the request named the address
	}
	c.offered = lease
	if known || c.options.NoARP {
		c.bind(now)
		return
	}
	c.attempt = 0
	c.enter(probing, now)
	c.probe(now)
}

func (c *Client) refused(m *Message, now sys.Time) {
	server, _ := m.address(optServer)
	if c.state == requesting && server != c.offered.Server || c.state == renewing && server != c.lease.Server {
		return
	}
	why := ""
	if said := m.get(optMessage); printable(said) {
		why = ": " + string(said)
	}
	c.link.Log("the server " + server.String() + " refuses" + why)
	c.drop()
	c.enter(pausing, now+afterNAK)
}

func printable(said []byte) bool {
	for _, c := range said {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return len(said) > 0
}

func (c *Client) probe(now sys.Time) {
	if err := c.link.Probe(c.offered.Address); err != nil {
		c.link.Log("probing by ARP failed: " + err.Error())
	}
	c.deadline = now + probeEvery
}

// Conflict: another host has the address that was looked for.
func (c *Client) Conflict(other MAC, now sys.Time) {
	if c.state != probing {
		return
	}
	c.link.Log(c.offered.Address.String() + " is in use by " + other.String() + ": declined")
	m := c.message(now)
	m.Secs = 0 // table 5
	m.add(optType, decline)
	m.add(optRequestedIP, c.offered.Address[:]...)
	m.add(optServer, c.offered.Server[:]...)
	c.send(m, IP{}, IP{}, now)
	c.enter(pausing, now+afterClash)
}

func (c *Client) bind(now sys.Time) {
	lease := c.offered
	renewed := c.lease != nil && c.lease.Address == lease.Address
	c.lease = lease
	if err := c.link.Configure(lease); err != nil {
		c.link.Log("it cannot be configured: " + err.Error())
		c.drop()
		c.enter(pausing, now+afterClash)
		return
	}
	c.enter(bound, lease.Renew)
	word := "leased"
	if renewed {
		word = "renewed"
	} else {
		c.link.Announce(lease.Address)
	}
	text := lease.Address.String() + "/" + strconv.Itoa(lease.Prefix) + " " + word + " from " + lease.Server.String()
	if router := lease.router(); !router.zero() {
		text += ", router " + router.String()
	}
	if lease.End == sys.Never {
		text += ", for ever"
	} else {
		text += ", for " + strconv.Itoa(int((lease.End-now+sys.Second/2)/sys.Second)) + " s"
	}
	c.link.Log(text)
}

// drop gives the address up.
func (c *Client) drop() {
	if c.lease == nil {
		return
	}
	c.lease = nil
	if err := c.link.Configure(nil); err != nil {
		c.link.Log("the address cannot be removed: " + err.Error())
	}
}

func (mac MAC) String() string {
	const digits = "0123456789abcdef"
	var text []byte
	for i, part := range mac {
		if i > 0 {
			text = append(text, ':')
		}
		text = append(text, digits[part>>4], digits[part&15])
	}
	return string(text)
}
