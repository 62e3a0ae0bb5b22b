package hull

import (
	"fmt"
	"path"
	"syscall"
	"time"

	"hullkit/guest/init/internal/json"
)

// Defaults of what a document leaves out.
const (
	defaultLogSize     = 1 << 20
	defaultStopSignal  = syscall.SIGTERM
	defaultStopTimeout = 10 * time.Second
	defaultReady       = 30 * time.Second
	defaultCheck       = 20 * time.Second
	defaultKill        = 60 * time.Second
	defaultStatus      = 200
)

const (
	minLogSize = 4096
	maxLogSize = 1 << 40
	maxLimit   = 1 << 30
	maxPort    = 65535
	maxSeconds = 366 * 24 * 3600
	maxStore   = 1 << 50
)

// Parse reads and validates the document.
func Parse(data []byte) (*System, error) {
	document, top, err := json.Open(data)
	if err != nil {
		return nil, err
	}
	if version := top.Get("version").Int(0, maxLimit); document.Err == nil && version != Version {
		return nil, fmt.Errorf("version %d; this init understands %d", version, Version)
	}
	system := &System{
		Version:       Version,
		Name:          top.Get("name").Text(),
		Layout:        top.Get("layout").Text(),
		Supervisor:    or(top.Get("supervisor").Text(), Direct),
		Hostname:      top.Get("hostname").Text(),
		Modules:       top.Get("modules").Texts(),
		Mounts:        ParseMounts(top.Get("mounts")),
		Root:          top.Get("root").Get("layers").Texts(),
		Onboot:        containers(top.Get("onboot"), Onboot),
		Onshutdown:    containers(top.Get("onshutdown"), Onshutdown),
		Services:      containers(top.Get("services"), Service),
		ExpectAddress: top.Get("expect").Get("address").Bool(),
	}
	for _, layer := range top.Get("layers").Items() {
		system.Layers = append(system.Layers, Layer{
			ID:     layer.Get("id").Text(),
			File:   layer.Get("file").Text(),
			Offset: int64(layer.Get("offset").Int(0, maxStore)),
			Size:   int64(layer.Get("size").Int(0, maxStore)),
		})
	}
	for _, check := range top.Get("checks").Items() {
		system.Checks = append(system.Checks, parseCheck(check))
	}
	if document.Err != nil {
		return nil, document.Err
	}
	return system, system.validate()
}

// ParseMounts reads a list of mounts.
func ParseMounts(list json.Field) []Mount {
	var all []Mount
	for _, each := range list.Items() {
		all = append(all, Mount{
			each.Get("destination").Text(), each.Get("type").Text(), each.Get("source").Text(), each.Get("options").Texts(),
		})
	}
	return all
}

func containers(list json.Field, kind string) []*Container {
	var all []*Container
	for _, field := range list.Items() {
		bundle := field.Get("bundle").Text()
		restart, stop, logs := field.Get("restart"), field.Get("stop"), field.Get("logs")
		all = append(all, &Container{
			Kind:     kind,
			ID:       path.Base(bundle),
			Name:     field.Get("name").Text(),
			Bundle:   bundle,
			Layers:   field.Get("layers").Texts(),
			Writable: field.Get("writable").Bool(),
			Readonly: field.Get("readonly").Bool(),
			After:    field.Get("after").Texts(),
			Requires: field.Get("requires").Texts(),
			Ready:    parseReady(field.Get("ready")),
			Restart: Restart{
				Policy: or(restart.Get("policy").Text(), RestartNo),
				Delay:  seconds(restart.Get("delay"), 0),
				Limit:  restart.Get("limit").Int(0, maxLimit),
			},
			Stop:    Stop{parseSignal(stop.Get("signal")), seconds(stop.Get("timeout"), defaultStopTimeout)},
			Timeout: seconds(field.Get("timeout"), 0),
			Logs:    Logs{or(int64(logs.Get("size").Int(minLogSize, maxLogSize)), defaultLogSize), logs.Get("console").Bool()},
		})
	}
	return all
}

func parseReady(field json.Field) *Ready {
	if !field.Present() {
		return nil
	}
	ready := &Ready{
		TCP:     field.Get("tcp").Int(1, maxPort),
		File:    field.Get("file").Text(),
		Exec:    field.Get("exec").Texts(),
		Address: field.Get("address").Text(),
		Timeout: seconds(field.Get("timeout"), defaultReady),
	}
	kinds := 0
	for _, given := range []bool{ready.TCP != 0, ready.File != "", len(ready.Exec) > 0, ready.Address != ""} {
		if given {
			kinds++
		}
	}
	if kinds != 1 {
		field.Fail("exactly one of tcp, file, exec and address is needed")
	}
	if ready.Address != "" && ready.Address != "ipv4" && ready.Address != "ipv6" {
		field.Get("address").Fail("it is neither ipv4 nor ipv6")
	}
	return ready
}

func parseCheck(field json.Field) Check {
	check := Check{Name: field.Get("name").Text(), Kill: field.Get("kill").Text()}
	http, exec := field.Get("http"), field.Get("exec")
	kinds, timeout := 0, defaultCheck
	for _, given := range []bool{http.Present(), exec.Present(), check.Kill != ""} {
		if given {
			kinds++
		}
	}
	if kinds != 1 {
		field.Fail("exactly one of http, exec and kill is needed")
	}
	if check.Kill != "" {
		timeout = defaultKill
	}
	check.Timeout = seconds(field.Get("timeout"), timeout)
	if http.Present() {
		check.HTTP = &HTTPCheck{
			Port:     http.Get("port").Int(1, maxPort),
			Path:     or(http.Get("path").Text(), "/"),
			Status:   or(http.Get("status").Int(100, 599), defaultStatus),
			Contains: http.Get("contains").Text(),
		}
	}
	if exec.Present() {
		check.Exec = &ExecCheck{
			Container: exec.Get("container").Text(),
			Command:   exec.Get("command").Texts(),
			Exit:      exec.Get("exit").Int(0, 255),
			Contains:  exec.Get("contains").Text(),
		}
	}
	return check
}

// or returns the fallback instead of a zero value.
func or[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

// seconds reads a number of seconds; absent is the fallback, and 0 is 0.
func seconds(field json.Field, fallback time.Duration) time.Duration {
	if !field.Present() {
		return fallback
	}
	number := field.Number()
	if number < 0 || number > maxSeconds {
		field.Fail("%v seconds are too few or too many", number)
		return fallback
	}
	return time.Duration(number * float64(time.Second))
}

// parseSignal reads a name or a number.
func parseSignal(field json.Field) syscall.Signal {
	if !field.Present() {
		return defaultStopSignal
	}
	signal, err := ParseSignal(field.Text())
	if err != nil {
		field.Fail("%v", err)
	}
	return signal
}
