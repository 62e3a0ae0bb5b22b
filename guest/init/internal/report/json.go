package report

import "hullkit/guest/init/internal/json"

// JSON writes the report as docs/guest.md has it.
func (r Report) JSON() json.Object {
	return json.Object{
		"version", r.Version,
		"name", r.Name,
		"kernel", r.Kernel,
		"init", r.Init,
		"runtime", r.Runtime,
		"supervisor", r.Supervisor.json(),
		"up", r.Up,
		"stages", list(r.Stages, Stage.json),
		"containers", list(r.Containers, Container.json),
		"memory", r.Memory.json(),
		"addresses", r.Addresses,
		"ports", list(r.Ports, Port.json),
		"checks", list(r.Checks, Check.json),
	}
}

func list[T any](items []T, write func(T) json.Object) []any {
	written := make([]any, len(items))
	for i, item := range items {
		written[i] = write(item)
	}
	return written
}

func (s Stage) json() json.Object {
	return json.Object{"name", s.Name, "seconds", s.Seconds}
}

func (c Container) json() json.Object {
	written := append(append(json.Object{
		"name", c.Name,
		"kind", c.Kind,
		"state", c.State,
		"exit", c.Exit,
		"signal", c.Signal,
		"restarts", c.Restarts,
		"ready_seconds", c.ReadySeconds,
	}, c.Usage.members()...), "message", c.Message)
	if c.Rights != nil {
		written = append(written, "rights", c.Rights.json())
	}
	return written
}

func (r Rights) json() json.Object {
	return json.Object{
		"user", r.User,
		"capabilities", r.Capabilities,
		"filtered", r.Filtered,
		"no_new_privileges", r.NoNewPrivileges,
		"own_network", r.OwnNetwork,
		"writable", r.Writable,
	}
}

func (u Usage) members() json.Object {
	return json.Object{
		"memory", u.Memory,
		"memory_anonymous", u.MemoryAnonymous,
		"memory_file", u.MemoryFile,
		"memory_tmpfs", u.MemoryTmpfs,
		"memory_kernel", u.MemoryKernel,
	}
}

func (s Supervisor) json() json.Object {
	return append(json.Object{
		"name", s.Name,
		"version", s.Version,
		"restarts", s.Restarts,
		"tasks", list(s.Tasks, Task.json),
	}, s.Usage.members()...)
}

func (t Task) json() json.Object {
	return json.Object{"id", t.ID, "pid", t.PID, "state", t.State}
}

func (m Memory) json() json.Object {
	return json.Object{
		"total", m.Total,
		"available", m.Available,
		"free", m.Free,
		"kernel", m.Kernel,
		"tmpfs", m.Tmpfs,
		"page_cache", m.PageCache,
		"anonymous", m.Anonymous,
	}
}

func (p Port) json() json.Object {
	return json.Object{
		"protocol", p.Protocol, "address", p.Address, "port", p.Port, "container", p.Container, "private", p.Private,
	}
}

func (c Check) json() json.Object {
	return json.Object{"name", c.Name, "culprit", c.Culprit, "ok", c.OK, "message", c.Message}
}
