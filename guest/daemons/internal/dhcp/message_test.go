package dhcp

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"hullkit/guest/daemons/internal/sys"
)

// field is a message with options in the three fields that may hold them.
func field(options, file, sname []byte) []byte {
	data := (&Message{Op: bootReply, XID: 7, YIAddr: address, MAC: ownMAC}).bytes()[:fixedSize+4]
	copy(data[108:236], file)
	copy(data[44:108], sname)
	return append(data, options...)
}

func TestAMessageIsWhatWasWritten(t *testing.T) {
	want := &Message{Op: bootRequest, XID: 0x01020304, Secs: 5, CIAddr: address, YIAddr: server, MAC: ownMAC}
	want.add(optType, discover)
	want.add(optHostname, []byte("x")...)
	data := want.bytes()
	if len(data) != smallest {
		t.Errorf("%d bytes", len(data))
	}
	got, err := parseMessage(data)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %+v", err, got)
	}
}

func TestOptionsInAllFieldsAreOne(t *testing.T) {
	data := field(
		[]byte{0, optOverload, 1, 3, optDomain, 3, 'a', 'b', 'c', optEnd, 99, 99},
		[]byte{optDomain, 1, '.', optEnd, optDomain, 1, '!'},
		[]byte{optDomain, 2, 'd', 'e', 0, 0})
	m, err := parseMessage(data)
	if err != nil || string(m.get(optDomain)) != "abc.de" {
		t.Errorf("%v, %q", err, m.get(optDomain))
	}
	m, err = parseMessage(field([]byte{optDomain, 1, 'a'}, []byte{optDomain, 1, 'b'}, nil))
	if err != nil || string(m.get(optDomain)) != "a" {
		t.Errorf("without overload: %v, %q", err, m.get(optDomain))
	}
}

func TestBrokenMessages(t *testing.T) {
	whole := field([]byte{optType, 1, offer, optEnd}, nil, nil)
	for name, data := range map[string][]byte{
		"empty":         nil,
		"short":         whole[:fixedSize+3],
		"not Ethernet":  append([]byte{2, 6}, whole[2:]...),
		"long address":  append([]byte{2, 1, 16}, whole[3:]...),
		"no cookie":     append(append(slices.Clone(whole[:fixedSize]), 1, 2, 3, 4), whole[fixedSize+4:]...),
		"no length":     field([]byte{optType}, nil, nil),
		"beyond":        field([]byte{optType, 2, 1}, nil, nil),
		"beyond a name": field([]byte{optOverload, 1, 2, optEnd}, nil, bytes.Repeat([]byte{9, 9}, 32)),
	} {
		if m, err := parseMessage(data); err == nil {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

func TestSearchLists(t *testing.T) {
	for text, want := range map[string][]string{
		"\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04\x00": {"eng.apple.com", "marketing.apple.com"}, // RFC 3397, 2
		"\x01a\x00\xc0\x02\xc0\x05":                            {"a"},                                    // to the root, and to itself
		"\xc0\x00":                                             nil,
		"\x01a\xc0\x00":                                        nil,
		"\x05abc":                                              nil,
		"\x40a":                                                nil,
		"\x03a\nb\x00\x01c\x00":                                {"c"},
		"\x01a":                                                nil,
	} {
		if got := searchList([]byte(text)); !slices.Equal(got, want) {
			t.Errorf("%q: %q", text, got)
		}
	}
	long := strings.Repeat("\x3f"+strings.Repeat("a", 63), 100) + "\x00"
	if got := searchList([]byte(long)); got != nil {
		t.Errorf("%q", got)
	}
	if got := searchList([]byte(strings.Repeat("\x01a\x00", 100))); len(got) != maxSearch {
		t.Errorf("%d names", len(got))
	}
}

func TestDomainNames(t *testing.T) {
	for name, want := range map[string]bool{
		"example.org": true, "a_b-c.x": true, "local.": true, "": false, ".a": false, "a..b": false,
		"a b": false, "a\nnameserver 1.2.3.4": false, strings.Repeat("a", 254): false, "é": false,
	} {
		if domainName(name) != want {
			t.Errorf("%q", name)
		}
	}
}

func TestRoutes(t *testing.T) {
	m := &Message{YIAddr: address}
	m.add(optRouter, 10, 0, 2, 2, 10, 0, 2, 3)
	lease := &Lease{}
	lease.setRoutes(m)
	if want := []Route{{Gateway: IP{10, 0, 2, 2}}}; !slices.Equal(lease.Routes, want) {
		t.Errorf("%v", lease.Routes)
	}
	m.add(optStaticRoutes, 0, 10, 0, 2, 9, 8, 172, 0, 0, 0, 0, 25, 10, 1, 2, 255, 10, 0, 2, 1, 32, 1, 2, 3, 4, 224, 0, 0, 1, 33, 1)
	lease = &Lease{}
	lease.setRoutes(m)
	want := []Route{{Gateway: IP{10, 0, 2, 9}}, {IP{172}, 8, IP{}}, {IP{10, 1, 2, 128}, 25, IP{10, 0, 2, 1}}}
	if !slices.Equal(lease.Routes, want) || lease.router() != (IP{10, 0, 2, 9}) {
		t.Errorf("%v", lease.Routes)
	}
	many := &Message{}
	for range 200 {
		many.add(optStaticRoutes, 8, 10, 10, 0, 2, 2)
	}
	lease = &Lease{}
	if lease.setRoutes(many); len(lease.Routes) != maxRoutes {
		t.Errorf("%d routes", len(lease.Routes))
	}
}

func TestMasks(t *testing.T) {
	for text, want := range map[IP]int{{255, 255, 255, 0}: 24, {255, 255, 255, 255}: 32, {}: 0, {128}: 1} {
		if got, ok := prefixLength(text); !ok || got != want {
			t.Errorf("%v: %d", text, got)
		}
	}
	if _, ok := prefixLength(IP{255, 0, 255, 0}); ok {
		t.Error("a mask with a hole")
	}
	for prefix, want := range map[int]IP{24: {10, 0, 2, 255}, 8: {10, 255, 255, 255}, 30: {10, 0, 2, 15}} {
		if last, ok := subnetBroadcast(address, prefix); !ok || last != want {
			t.Errorf("/%d: %v", prefix, last)
		}
	}
	if _, ok := subnetBroadcast(address, 31); ok {
		t.Error("/31 has a broadcast address")
	}
}

func TestPackets(t *testing.T) {
	sent := packet(address, broadcast, []byte("payload"))
	// as a server's: the ports change places, which does not change the sum
	sent[20], sent[21], sent[22], sent[23] = sent[22], sent[23], sent[20], sent[21]
	got, err := unpack(append(slices.Clone(sent), "padding"...), true)
	if err != nil || string(got) != "payload" {
		t.Errorf("%q, %v", got, err)
	}
	for name, change := range map[string]func(data []byte){
		"version":  func(data []byte) { data[0] = 0x65 },
		"header":   func(data []byte) { data[0] = 0x44 },
		"length":   func(data []byte) { data[2] = 9 },
		"fragment": func(data []byte) { data[6] = 0x20 },
		"protocol": func(data []byte) { data[9] = 6 },
		"address":  func(data []byte) { data[12]++ },
		"port":     func(data []byte) { data[23]++ },
		"short":    func(data []byte) { data[24], data[25] = 0, 7 },
		"long":     func(data []byte) { data[25]++ },
		"data":     func(data []byte) { data[30]++ },
	} {
		data := slices.Clone(sent)
		change(data)
		if _, err := unpack(data, true); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
	sent[30]++
	if _, err := unpack(sent, false); err != nil {
		t.Errorf("a checksum that is not there yet: %v", err)
	}
}

func TestConflicts(t *testing.T) {
	other := MAC{2, 0, 0, 0, 0, 9}
	reply := arpProbe(other, address, server)
	reply[7] = arpReply
	for name, each := range map[string]struct {
		data []byte
		want bool
	}{
		"an answer":          {reply, true},
		"an announcement":    {arpProbe(other, address, address), true},
		"another's probe":    {arpProbe(other, IP{}, address), true},
		"its own probe":      {arpProbe(ownMAC, IP{}, address), false},
		"another's question": {arpProbe(other, server, address), false},
		"another address":    {arpProbe(other, server, server), false},
		"short":              {reply[:27], false},
	} {
		if who, got := conflict(each.data, ownMAC, address); got != each.want || got && who != other {
			t.Errorf("%s: %v %v", name, who, got)
		}
	}
}

func TestResolver(t *testing.T) {
	first := &Lease{DNS: []IP{{10, 0, 0, 1}, {10, 0, 0, 2}}, Domain: "one.org", Search: []string{"a.org", "b.org"}}
	second := &Lease{DNS: []IP{{10, 1, 0, 1}, {10, 1, 0, 2}}, Domain: "b.org"}
	want := "search a.org b.org\nnameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.1.0.1\n"
	if got := resolverText([]*Lease{first, second}); got != want {
		t.Errorf("%q", got)
	}
	if got := resolverText([]*Lease{{}}); got != "" {
		t.Errorf("%q", got)
	}
}

func TestOptionsOfTheCommand(t *testing.T) {
	got, err := parseOptions([]string{"-i", "eth0", "--interface=eth1", "--oneshot", "--timeout", "5", "--no-arp", "--hostname=x"})
	want := Options{Interfaces: []string{"eth0", "eth1"}, Hostname: "x", NoARP: true, Oneshot: true, Timeout: 5 * sys.Second}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range [][]string{{"-i"}, {"-i", ""}, {"--timeout=x"}, {"--timeout", "-1"}, {"--oneshot=1"}, {"eth0"}, {"--hostname", "a b"}} {
		if _, err := parseOptions(bad); err == nil {
			t.Errorf("%v", bad)
		}
	}
}

func TestWhichInterfaces(t *testing.T) {
	device := sys.Link{Name: "eth0", Hardware: ethernet, MAC: ownMAC[:]}
	for name, each := range map[string]struct {
		change func(link *sys.Link)
		named  bool
		want   bool
	}{
		"a device":         {func(*sys.Link) {}, false, true},
		"a veth":           {func(link *sys.Link) { link.Kind = "veth" }, false, false},
		"a veth by name":   {func(link *sys.Link) { link.Kind = "veth" }, true, true},
		"a port":           {func(link *sys.Link) { link.Master = true }, false, false},
		"not named":        {func(link *sys.Link) { link.Name = "eth1" }, true, false},
		"loopback by name": {func(link *sys.Link) { link.Hardware = 772 }, true, false},
	} {
		link, options := device, Options{}
		each.change(&link)
		if each.named {
			options.Interfaces = []string{"eth0"}
		}
		if options.wants(&link) != each.want {
			t.Errorf("%s", name)
		}
	}
}

// FuzzMessage: whatever a server sends, nothing breaks, and what a lease says is fit for files and the kernel.
func FuzzMessage(f *testing.F) {
	f.Add(answer(&Message{XID: 7}, ack, 1000).bytes())
	f.Add(field([]byte{optOverload, 1, 3, optSearch, 2, 1, 'a', optEnd}, []byte{optSearch, 1, 0, optEnd}, []byte{optStaticRoutes, 5, 0, 1, 2, 3, 4}))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseMessage(data)
		if err != nil {
			return
		}
		for _, each := range m.options {
			if len(each.value) > len(data) {
				t.Errorf("an option of %d bytes from %d", len(each.value), len(data))
			}
		}
		lease, err := newLease(m, sys.Second)
		if err != nil {
			return
		}
		if lease.Renew > lease.Rebind || lease.Rebind > lease.End || lease.Renew <= 0 || lease.Prefix < 1 || lease.Prefix > 32 {
			t.Errorf("%+v", lease)
		}
		for _, line := range strings.Split(strings.TrimSuffix(resolverText([]*Lease{lease}), "\n"), "\n") {
			if line != "" && !strings.HasPrefix(line, "search ") && !strings.HasPrefix(line, "nameserver ") {
				t.Errorf("line %q", line)
			}
		}
		for _, c := range []byte(resolverText([]*Lease{lease}) + statusText("eth0", lease)) {
			if c != '\n' && (c < ' ' || c > '~') {
				t.Errorf("byte %d", c)
			}
		}
	})
}

func FuzzPacket(f *testing.F) {
	f.Add(packet(address, broadcast, []byte("x")))
	f.Fuzz(func(t *testing.T, data []byte) {
		unpack(data, true)
		conflict(data, ownMAC, address)
		summed(data)
	})
}
