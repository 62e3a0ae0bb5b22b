// Command daemons is the small services of hullkit's systems in one program: dhcp, rngd and sysctl, chosen by the name
// that it is called by, or by its first argument.
//
// It is made to be small: packages os, fmt, time and net alone would make it half as large again. What it needs of the
// system is in internal/sys.
package main

import (
	"syscall"

	"hullkit/guest/daemons/internal/dhcp"
	"hullkit/guest/daemons/internal/rng"
	"hullkit/guest/daemons/internal/sys"
	"hullkit/guest/daemons/internal/sysctl"
)

func main() {
	arguments, err := sys.Arguments()
	if err != nil {
		sys.Log("daemons: its arguments cannot be read: ", err.Error())
		syscall.Exit(1)
	}
	for range 2 {
		if len(arguments) == 0 {
			break
		}
		name := sys.Base(arguments[0])
		arguments = arguments[1:]
		switch name {
		case "dhcp":
			syscall.Exit(dhcp.Main(arguments))
		case "rngd":
			syscall.Exit(rng.Main(arguments))
		case "sysctl":
			syscall.Exit(sysctl.Main(arguments))
		}
	}
	sys.Log("usage: daemons dhcp|rngd|sysctl [argument]...")
	syscall.Exit(2)
}
