// Hull-service runs the services of a system as tasks of containerd. Init starts it and tells it what to do, over the
// socket that is its descriptor 3; it holds no state that containerd does not have, so that it can be started again at
// any time. See docs/guest.md.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"

	"hullkit/guest/service/engine"
)

// commands is the descriptor of the socket to init.
const commands = 3

func main() {
	socket := flag.String("socket", "/run/containerd/containerd.sock", "containerd's socket")
	runtime := flag.String("runtime", "/usr/bin/runc", "the OCI runtime")
	state := flag.String("state", "/run/containerd/runc", "where the OCI runtime keeps its state")
	flag.Parse()
	if err := run(*socket, engine.Runtime{Binary: *runtime, Root: *state}); err != nil {
		fmt.Fprintln(os.Stderr, "hull-service:", err)
		os.Exit(1)
	}
}

func run(socket string, runtime engine.Runtime) error {
	file := os.NewFile(commands, "init")
	if file == nil {
		return fmt.Errorf("descriptor %d is not open: init starts this program, nobody else does", commands)
	}
	init, err := net.FileConn(file)
	if err != nil {
		return fmt.Errorf("descriptor %d: %w", commands, err)
	}
	file.Close()
	containerd, err := engine.Dial(socket, runtime)
	if err != nil {
		return err
	}
	return engine.Serve(init, containerd)
}
