package system

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// clock counts seconds since the kernel started.
type clock struct {
	started time.Time
	offset  float64
}

// startClock reads /proc/uptime once (proc_uptime(5)); Go's clock does the rest.
func startClock() clock {
	now := time.Now()
	text, _ := os.ReadFile("/proc/uptime")
	first, _, _ := strings.Cut(string(text), " ")
	offset, _ := strconv.ParseFloat(first, 64)
	return clock{now, offset}
}

// at returns the seconds at a time, to the millisecond.
func (c clock) at(when time.Time) float64 {
	milliseconds := when.Sub(c.started).Milliseconds() + int64(c.offset*1000)
	return float64(milliseconds) / 1000
}

func (c clock) uptime() float64 { return c.at(time.Now()) }
