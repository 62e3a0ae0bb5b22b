// Hull-service runs the services of a system as tasks of containerd. Init starts it and tells it what to do, over the
// socket that is its descriptor 3; it holds no state that containerd does not have, so that it can be started again at
// any time. See docs/guest.md.
package main

import (
	"fmt"
	"os"

	"hullkit/guest/service/engine"
)

const socket = "/run/containerd/containerd.sock"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "hull-service:", err)
		os.Exit(1)
	}
}

func run() error {
	init, err := engine.Init()
	if err != nil {
		return err
	}
	containerd, err := engine.Dial(socket, engine.DefaultRuntime)
	if err != nil {
		return err
	}
	return engine.Serve(init, containerd)
}
