// Containerd with what running services needs and nothing else, its shim for runc, and hullkit's engine, as one program:
// the three share most of their code, so it is stored, loaded and mapped once. Started as containerd-shim-runc-v2 it is
// the shim; otherwise it is the daemon, and when init is at descriptor 3, hull-service too. See docs/guest.md.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

const shimProgram = "containerd-shim-runc-v2"

func main() {
	if filepath.Base(os.Args[0]) == shimProgram {
		runShim()
		return
	}
	if err := runDaemon(); err != nil {
		fmt.Fprintln(os.Stderr, "containerd:", err)
		os.Exit(1)
	}
}
