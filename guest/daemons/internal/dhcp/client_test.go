package dhcp

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"hullkit/guest/daemons/internal/sys"
)

var (
	ownMAC  = MAC{2, 0, 0, 0, 0, 1}
	address = IP{10, 0, 2, 15}
	server  = IP{10, 0, 2, 2}
)

// sentMessage is what a client has sent.
type sentMessage struct {
	*Message
	source, server IP
}

// fakeLink keeps what a client does with its interface.
type fakeLink struct {
	t          *testing.T
	sent       []sentMessage
	listening  bool
	configured *Lease
	probed     []IP
	announced  []IP
	logs       []string
	failure    error
}

func (f *fakeLink) MAC() MAC                 { return ownMAC }
func (f *fakeLink) Listen(on bool) error     { f.listening = on; return nil }
func (f *fakeLink) Probe(address IP) error   { f.probed = append(f.probed, address); return nil }
func (f *fakeLink) Announce(address IP)      { f.announced = append(f.announced, address) }
func (f *fakeLink) Configure(l *Lease) error { f.configured = l; return f.failure }
func (f *fakeLink) Log(text string)          { f.logs = append(f.logs, text) }
func (f *fakeLink) keep(data []byte, a, b IP) {
	m, err := parseMessage(data)
	if err != nil {
		f.t.Fatal(err)
	}
	f.sent = append(f.sent, sentMessage{m, a, b})
}

func (f *fakeLink) Broadcast(message []byte, source IP) error {
	f.keep(message, source, IP{})
	return nil
}

func (f *fakeLink) Unicast(message []byte, source, server IP) error {
	f.keep(message, source, server)
	return nil
}

// world is a client, its interface, and a clock that the test moves.
type world struct {
	*testing.T
	link   *fakeLink
	client *Client
	now    sys.Time
}

func newWorld(t *testing.T, options Options) *world {
	link := &fakeLink{t: t}
	w := &world{t, link, newClient(link, options), 1000 * sys.Second}
	w.client.Up(w.now)
	return w
}

// pass lets the time go on to a point, with everything that is due in between.
func (w *world) pass(span sys.Time) {
	end := w.now + span
	for steps := 0; w.client.Wake() <= end; steps++ {
		if steps > 1000 {
			w.Fatal("the client is busy without end")
		}
		w.now = max(w.now, w.client.Wake())
		w.client.Tick(w.now)
	}
	w.now = end
}

func (w *world) last() sentMessage {
	w.Helper()
	if len(w.link.sent) == 0 {
		w.Fatal("nothing was sent")
	}
	return w.link.sent[len(w.link.sent)-1]
}

func (w *world) kinds() []byte {
	var kinds []byte
	for _, each := range w.link.sent {
		kinds = append(kinds, each.kind())
	}
	w.link.sent = nil
	return kinds
}

func seconds(value uint32) []byte { return binary.BigEndian.AppendUint32(nil, value) }

func answer(to *Message, kind byte, lease uint32) *Message {
	m := &Message{Op: bootReply, XID: to.XID, YIAddr: address, MAC: ownMAC}
	m.add(optType, kind)
	m.add(optServer, server[:]...)
	m.add(optMask, 255, 255, 255, 0)
	m.add(optRouter, server[:]...)
	m.add(optLeaseTime, seconds(lease)...)
	return m
}

// answer is what the server says to the last message.
func (w *world) answer(kind byte, lease uint32) {
	w.client.Receive(answer(w.last().Message, kind, lease), w.now)
}

// bind leads to a lease.
func (w *world) bind(lease uint32) {
	w.Helper()
	w.answer(offer, lease)
	w.answer(ack, lease)
	if w.client.state == probing {
		w.pass(probes * probeEvery)
	}
	if w.client.state != bound {
		w.Fatalf("state %d, logs %q", w.client.state, w.link.logs)
	}
	w.link.sent = nil
}

func TestALeaseIsTakenAndTheEarsAreClosed(t *testing.T) {
	w := newWorld(t, Options{Hostname: "tiny"})
	first := w.last()
	if first.kind() != discover || !first.source.zero() || !first.CIAddr.zero() || first.MAC != ownMAC {
		t.Errorf("the first message is %+v", first)
	}
	if string(first.get(optHostname)) != "tiny" || !slices.Equal(first.get(optClientID), append([]byte{1}, ownMAC[:]...)) {
		t.Errorf("options are %v", first.options)
	}
	wanted := first.get(optParameters)
	if slices.Index(wanted, optStaticRoutes) > slices.Index(wanted, optRouter) {
		t.Error("routers are asked for before classless routes")
	}
	w.answer(offer, 3600)
	asked := w.last()
	if asked.kind() != request || asked.XID != first.XID || !slices.Equal(asked.get(optRequestedIP), address[:]) ||
		!slices.Equal(asked.get(optServer), server[:]) || !asked.CIAddr.zero() {
		t.Errorf("the request is %+v", asked)
	}
	w.answer(ack, 3600)
	if w.link.configured != nil {
		t.Error("the address is used before it is probed")
	}
	w.pass(probes * probeEvery)
	if w.link.configured == nil || w.link.configured.Address != address || w.link.configured.Prefix != 24 {
		t.Errorf("configured: %+v", w.link.configured)
	}
	if len(w.link.probed) != probes || len(w.link.announced) != 1 || w.link.listening {
		t.Errorf("%d probes, %d announcements, listening %v", len(w.link.probed), len(w.link.announced), w.link.listening)
	}
}

func TestWithoutAnAnswerItAsksLessAndLess(t *testing.T) {
	w := newWorld(t, Options{})
	var at []sys.Time
	for range 8 {
		count := len(w.link.sent)
		start := w.now
		for len(w.link.sent) == count {
			w.pass(w.client.Wake() - w.now)
		}
		at = append(at, w.now-start)
	}
	for i, want := range []sys.Time{4, 8, 16, 32, 64, 64, 64, 64} {
		if difference := at[i] - want*sys.Second; difference < -sys.Second || difference > sys.Second {
			t.Errorf("wait %d is %d ms", i, at[i]/sys.Millisecond)
		}
	}
	kinds := w.kinds()
	if strings.Trim(string(kinds), string([]byte{discover})) != "" {
		t.Errorf("sent %v", kinds)
	}
}

func TestAnOfferThatIsNotConfirmedIsGivenUp(t *testing.T) {
	w := newWorld(t, Options{})
	w.answer(offer, 3600)
	w.link.sent = nil
	w.pass(70 * sys.Second)
	kinds := w.kinds()
	if !slices.Equal(kinds[:4], []byte{request, request, request, discover}) {
		t.Errorf("sent %v", kinds)
	}
}

func TestRenewingRebindingAndTheEnd(t *testing.T) {
	w := newWorld(t, Options{NoARP: true})
	w.bind(8000)
	start := w.now
	w.pass(4000*sys.Second - 1)
	if len(w.link.sent) != 0 {
		t.Fatal("it asks before T1")
	}
	w.pass(1)
	first := w.last()
	if first.kind() != request || first.CIAddr != address || first.server != server || first.source != address ||
		first.get(optRequestedIP) != nil || first.get(optServer) != nil || !w.link.listening {
		t.Errorf("renewing: %+v", first)
	}
	// from T1 to T2, 3000 s, after half of the rest each time: 1500, 750, 375, 187.5, 93.75, 60
	w.pass(2999 * sys.Second)
	for _, each := range w.link.sent {
		if each.server != server {
			t.Errorf("broadcast before T2")
		}
	}
	if count := len(w.link.sent); count != 7 {
		t.Errorf("%d requests between T1 and T2", count)
	}
	w.pass(sys.Second)
	if last := w.last(); !last.server.zero() || last.CIAddr != address || last.source != address || last.kind() != request {
		t.Errorf("rebinding: %+v", last)
	}
	w.pass(start + 8000*sys.Second - 1 - w.now)
	if w.link.configured == nil {
		t.Error("the address went before the end")
	}
	w.pass(1)
	if w.link.configured != nil || w.last().kind() != discover || w.client.state != selecting {
		t.Errorf("after the end: %+v, state %d", w.link.configured, w.client.state)
	}
}

func TestARenewedLeaseBeginsWhenItWasAskedFor(t *testing.T) {
	w := newWorld(t, Options{NoARP: true})
	w.bind(1000)
	w.pass(500 * sys.Second)
	asked := w.now
	w.now += 20 * sys.Second
	w.answer(ack, 1000)
	if end := w.link.configured.End; end != asked+1000*sys.Second {
		t.Errorf("it ends %d s after it was asked for", (end-asked)/sys.Second)
	}
	if w.client.state != bound || w.link.listening || len(w.link.announced) != 1 {
		t.Error("it is not simply bound")
	}
}

func TestAnyServerMayRebind(t *testing.T) {
	w := newWorld(t, Options{NoARP: true})
	w.bind(8000)
	w.pass(7000 * sys.Second)
	m := answer(w.last().Message, ack, 8000)
	other := IP{10, 0, 2, 3}
	m.options[1].value = other[:]
	w.client.Receive(m, w.now)
	if w.client.state != bound || w.client.lease.Server != other {
		t.Errorf("state %d, lease %+v", w.client.state, w.client.lease)
	}
}

func TestTheServersTimes(t *testing.T) {
	w := newWorld(t, Options{NoARP: true})
	w.answer(offer, 1000)
	m := answer(w.last().Message, ack, 1000)
	m.add(optT1, seconds(100)...)
	m.add(optT2, seconds(200)...)
	w.client.Receive(m, w.now)
	if lease := w.client.lease; lease.Renew != w.now+100*sys.Second || lease.Rebind != w.now+200*sys.Second {
		t.Errorf("%+v", lease)
	}
	for _, wrong := range [][2]uint32{{300, 200}, {0, 0}, {1000, 2000}, {990, 100}} {
		m := answer(m, ack, 1000)
		m.add(optT1, seconds(wrong[0])...)
		m.add(optT2, seconds(wrong[1])...)
		lease, err := newLease(m, 0)
		if err != nil || lease.Renew >= lease.Rebind || lease.Rebind >= lease.End || lease.Renew <= 0 {
			t.Errorf("%v: %+v, %v", wrong, lease, err)
		}
	}
}

func TestALeaseForEver(t *testing.T) {
	w := newWorld(t, Options{NoARP: true})
	w.bind(infinite)
	if w.client.Wake() != sys.Never {
		t.Error("it wakes up")
	}
}

func TestARefusalEndsTheLease(t *testing.T) {
	w := newWorld(t, Options{NoARP: true})
	w.bind(1000)
	w.pass(500 * sys.Second)
	m := answer(w.last().Message, nak, 0)
	m.add(optMessage, []byte("moved\x1b[2J")...)
	w.client.Receive(m, w.now)
	if w.link.configured != nil || w.client.state != pausing {
		t.Errorf("%+v", w.client)
	}
	if strings.Contains(strings.Join(w.link.logs, ""), "\x1b") {
		t.Error("the server writes to the terminal")
	}
	w.pass(afterNAK)
	if w.last().kind() != discover {
		t.Error("it does not start over")
	}
}

func TestAnAddressOfAnotherHostIsDeclined(t *testing.T) {
	w := newWorld(t, Options{})
	w.answer(offer, 1000)
	w.answer(ack, 1000)
	w.client.Conflict(MAC{2, 0, 0, 0, 0, 9}, w.now)
	last := w.last()
	if last.kind() != decline || !slices.Equal(last.get(optRequestedIP), address[:]) || !slices.Equal(last.get(optServer), server[:]) {
		t.Errorf("%+v", last)
	}
	w.link.sent = nil
	w.pass(afterClash)
	if w.link.configured != nil || w.last().kind() != discover {
		t.Error("it does not start over")
	}
}

func TestOnlyAnswersToItsOwnQuestions(t *testing.T) {
	w := newWorld(t, Options{NoARP: true})
	for name, change := range map[string]func(m *Message){
		"another exchange":  func(m *Message) { m.XID++ },
		"another host":      func(m *Message) { m.MAC[5]++ },
		"a request":         func(m *Message) { m.Op = bootRequest },
		"not asked for":     func(m *Message) { m.options[0].value[0] = ack },
		"no server":         func(m *Message) { m.options[1].code = 0 },
		"a bad mask":        func(m *Message) { m.options[2].value[0] = 1 },
		"no time":           func(m *Message) { m.options[4].value = nil },
		"a moment":          func(m *Message) { m.options[4].value = seconds(1) },
		"no address":        func(m *Message) { m.YIAddr = IP{} },
		"loopback":          func(m *Message) { m.YIAddr = IP{127, 0, 0, 1} },
		"multicast":         func(m *Message) { m.YIAddr = IP{224, 0, 0, 1} },
		"broadcast address": func(m *Message) { m.YIAddr = broadcast },
	} {
		m := answer(w.last().Message, offer, 1000)
		change(m)
		w.client.Receive(m, w.now)
		if w.client.state != selecting || w.link.configured != nil {
			t.Fatalf("%s is taken", name)
		}
	}
	w.answer(offer, 1000)
	for _, kind := range []byte{ack, nak} {
		m := answer(w.last().Message, kind, 1000)
		m.options[1].value = []byte{10, 0, 2, 99}
		w.client.Receive(m, w.now)
		if w.client.state != requesting {
			t.Fatal("a server that was not asked is heard")
		}
	}
}

func TestACarrierThatComesBackAsksForTheSameAddress(t *testing.T) {
	w := newWorld(t, Options{})
	w.bind(1000)
	w.client.Down()
	w.pass(100 * sys.Second)
	if w.link.configured == nil || len(w.link.sent) != 0 || w.link.listening {
		t.Error("the address is gone, or it asks without a carrier")
	}
	w.client.Up(w.now)
	if last := w.last(); last.kind() != discover || !slices.Equal(last.get(optRequestedIP), address[:]) {
		t.Errorf("%+v", last)
	}
	probed := len(w.link.probed)
	w.bind(1000)
	if len(w.link.probed) != probed {
		t.Error("it probes its own address")
	}
	w.client.Down()
	w.pass(1000 * sys.Second)
	if w.link.configured != nil || w.client.Wake() != sys.Never {
		t.Error("the lease does not end without a carrier")
	}
}

func TestWhatCannotBeConfiguredIsTriedAgain(t *testing.T) {
	w := newWorld(t, Options{NoARP: true})
	w.link.failure = errClosed
	w.answer(offer, 1000)
	w.answer(ack, 1000)
	if w.client.lease != nil || w.client.state != pausing {
		t.Errorf("%+v", w.client)
	}
	w.link.failure = nil
	w.pass(afterClash)
	w.bind(1000)
}
