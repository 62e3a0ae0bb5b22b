package control

// Stage tells that a stage of the boot begins. Uptime, here and below, is in seconds since the kernel started.
type Stage struct {
	Event  string  `json:"event"`
	Name   string  `json:"name"`
	Uptime float64 `json:"uptime"`
}

// Container tells that a container changed its state.
type Container struct {
	Event    string  `json:"event"`
	Name     string  `json:"name"`
	Kind     string  `json:"kind"`
	State    string  `json:"state"`
	Exit     *int    `json:"exit,omitempty"`
	Signal   *int    `json:"signal,omitempty"`
	Restarts int     `json:"restarts"`
	Uptime   float64 `json:"uptime"`
	Message  string  `json:"message,omitempty"`
}

// Log is one of the last lines of a container that failed.
type Log struct {
	Event string `json:"event"`
	Name  string `json:"name"`
	Line  string `json:"line"`
}

// Up tells that every service is ready.
type Up struct {
	Event  string  `json:"event"`
	Uptime float64 `json:"uptime"`
}

// Failed tells that up cannot be reached any more.
type Failed struct {
	Event   string `json:"event"`
	Culprit string `json:"culprit"`
	Message string `json:"message"`
}

// Report answers the command check.
type Report struct {
	Event  string `json:"event"`
	Report any    `json:"report"`
}

// Fatal tells that init cannot go on.
type Fatal struct {
	Event   string `json:"event"`
	Message string `json:"message"`
}
