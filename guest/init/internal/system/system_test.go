package system

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	clock := startClock()
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		t.Fatal(err)
	}
	now, _ := strconv.ParseFloat(strings.Fields(string(text))[0], 64)
	if uptime := clock.uptime(); math.Abs(uptime-now) > 1 {
		t.Error(uptime, "instead of", now)
	}
	at := clock.at(clock.started.Add(1234567 * time.Microsecond))
	if math.Abs(at-clock.offset-1.234) > 0.0011 {
		t.Error(at-clock.offset, "instead of 1.234")
	}
}

func TestTheFirstRequestToEndCounts(t *testing.T) {
	s := &System{shutdown: make(chan action, 1)}
	s.command("nonsense")
	s.command("reboot")
	s.command("poweroff")
	if got := <-s.shutdown; got != restart {
		t.Error(got)
	}
	select {
	case got := <-s.shutdown:
		t.Error("another:", got)
	default:
	}
}

func TestThereIsAReportWhileBooting(t *testing.T) {
	s := &System{clock: startClock()}
	s.stages = append(s.stages, stage{"init", 0.5})
	report := s.report()
	if report.Version != 1 || len(report.Stages) != 1 || report.Stages[0].Seconds != 0.5 || report.Up || report.Checks == nil {
		t.Errorf("%+v", report)
	}
}

func TestModulesAreFoundWithoutALinkToUsr(t *testing.T) {
	root := t.TempDir()
	old := modulesParents
	defer func() { modulesParents = old }()
	modulesParents = []string{filepath.Join(root, "lib/modules"), filepath.Join(root, "usr/lib/modules")}
	if found := modulesDirectory("6.12"); found != filepath.Join(root, "lib/modules/6.12") {
		t.Error(found)
	}
	for _, parent := range []string{"usr/lib/modules", "lib/modules"} {
		directory := filepath.Join(root, parent, "6.12")
		if err := os.MkdirAll(directory, 0o755); err != nil {
			t.Fatal(err)
		}
		if found := modulesDirectory("6.12"); found != directory {
			t.Error(found)
		}
	}
}

func TestSignalsThatWouldEndAProgramAreSurvived(t *testing.T) {
	surviveSignals()
	for _, number := range deadly {
		if err := syscall.Kill(os.Getpid(), number.(syscall.Signal)); err != nil {
			t.Fatal(number, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
