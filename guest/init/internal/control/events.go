package control

import (
	"hullkit/guest/init/internal/json"
	"hullkit/guest/init/internal/supervise"
)

// Stage tells that a stage of the boot begins. Uptime, here and below, is in seconds since the kernel started.
func Stage(name string, uptime float64) json.Object {
	return json.Object{"event", "stage", "name", name, "uptime", uptime}
}

// Container tells that a container changed its state.
func Container(status supervise.Status, uptime float64) json.Object {
	event := json.Object{
		"event", "container",
		"name", status.Container.Name,
		"kind", status.Container.Kind,
		"state", string(status.State),
		"restarts", status.Restarts,
		"uptime", uptime,
	}
	code, signal := status.ExitFields()
	if code != nil {
		event = append(event, "exit", code)
	}
	if signal != nil {
		event = append(event, "signal", signal)
	}
	if status.Message != "" {
		event = append(event, "message", status.Message)
	}
	return event
}

// Log is one of the last lines of a container that failed.
func Log(name, line string) json.Object {
	return json.Object{"event", "log", "name", name, "line", line}
}

// Up tells that every service is ready.
func Up(uptime float64) json.Object {
	return json.Object{"event", "up", "uptime", uptime}
}

// Failed tells that up cannot be reached any more.
func Failed(culprit, message string) json.Object {
	return json.Object{"event", "failed", "culprit", culprit, "message", message}
}

// Report answers the command check.
func Report(report json.Object) json.Object {
	return json.Object{"event", "report", "report", report}
}

// Fatal tells that init cannot go on.
func Fatal(message string) json.Object {
	return json.Object{"event", "fatal", "message", message}
}
