// Hullkit's init: the first process of a system. It brings the system from the initramfs to its root, runs its
// containers through an OCI runtime and watches them, and takes all down again in order. See docs/guest.md.
package main

import (
	"os"

	"hullkit/guest/init/internal/modules"
	"hullkit/guest/init/internal/system"
)

func main() {
	if os.Getpid() == 1 {
		system.Run()
	}
	if name, ok := modules.Request(os.Args); ok {
		os.Exit(system.LoadModule(name))
	}
	os.Stderr.WriteString("hullkit's init is the first process of a system; it does nothing else\n")
	os.Exit(1)
}
