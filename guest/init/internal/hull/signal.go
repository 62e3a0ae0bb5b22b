package hull

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
)

// The numbers are the same on every architecture that hullkit serves (include/uapi/asm-generic/signal.h).
var signals = map[string]syscall.Signal{
	"HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "BUS": 7, "FPE": 8, "KILL": 9, "USR1": 10, "SEGV": 11,
	"USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15, "STKFLT": 16, "CHLD": 17, "CONT": 18, "STOP": 19, "TSTP": 20,
	"TTIN": 21, "TTOU": 22, "URG": 23, "XCPU": 24, "XFSZ": 25, "VTALRM": 26, "PROF": 27, "WINCH": 28, "IO": 29, "PWR": 30,
	"SYS": 31,
}

const (
	firstRealTime = 34 // SIGRTMIN as the C library gives it to programs
	lastSignal    = 64
)

// ParseSignal reads SIGTERM, TERM, 15, SIGRTMIN+3 or SIGRTMAX-1.
func ParseSignal(text string) (syscall.Signal, error) {
	name := strings.TrimPrefix(strings.ToUpper(text), "SIG")
	if known, ok := signals[name]; ok {
		return known, nil
	}
	base, rest := 0, name
	if after, ok := strings.CutPrefix(name, "RTMIN"); ok {
		base, rest = firstRealTime, after
	} else if after, ok := strings.CutPrefix(name, "RTMAX"); ok {
		base, rest = lastSignal, after
	}
	number := 0
	if rest != "" || base == 0 {
		var err error
		if number, err = strconv.Atoi(rest); err != nil {
			return 0, fmt.Errorf("%q is not a signal", text)
		}
	}
	if number += base; number < 1 || number > lastSignal {
		return 0, fmt.Errorf("%q is not a signal", text)
	}
	return syscall.Signal(number), nil
}

// SignalName writes a signal as people do.
func SignalName(signal int) string {
	for name, number := range signals {
		if int(number) == signal {
			return "SIG" + name
		}
	}
	return "signal " + strconv.Itoa(signal)
}
