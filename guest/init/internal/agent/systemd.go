package agent

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"hullkit/guest/init/internal/proc"
	"hullkit/guest/init/internal/report"
)

const (
	cgroupRoot = "/sys/fs/cgroup"
	// the directory that tells that systemd is the first process (sd_booted(3))
	systemdBooted = "/run/systemd/system"
	systemctl     = "/usr/bin/systemctl"
	service       = ".service"
	// a boot that takes longer is the host's to give up
	bootLimit = 24 * time.Hour
)

// systemd is asked through systemctl.
type systemd struct{ reaper *proc.Reaper }

// properties are those that systemctl shows of a unit or of the manager.
type properties map[string]string

func findSystemd(reaper *proc.Reaper) *systemd {
	if information, err := os.Stat(systemdBooted); err != nil || !information.IsDir() {
		return nil
	}
	return &systemd{reaper}
}

// seconds reads a time that systemd tells in microseconds since the kernel started; 0 if it has not come.
func (p properties) seconds(name string) float64 {
	microseconds, _ := strconv.ParseInt(p[name], 10, 64)
	return float64(microseconds/1000) / 1000
}

// waitUntilBooted returns when the queue of jobs is empty: when systemd itself says that the boot has ended.
func (s *systemd) waitUntilBooted() {
	s.reaper.Run(bootLimit, systemctl, "is-system-running", "--wait")
}

func (s *systemd) poweroff() { s.reaper.Run(longest, systemctl, "poweroff") }

func (s *systemd) manager() properties {
	const wanted = "Version,UserspaceTimestampMonotonic,UnitsLoadFinishTimestampMonotonic,FinishTimestampMonotonic"
	_, text, _ := s.reaper.Run(longest, systemctl, "show", "--property="+wanted)
	for _, each := range parseShow(text) {
		return each
	}
	return properties{}
}

// units are those that run or have failed, by name (of a service without that suffix).
func (s *systemd) units() map[string]properties {
	const wanted = "Id,ActiveState,Result,NRestarts,ActiveEnterTimestampMonotonic"
	_, text, _ := s.reaper.Run(longest, systemctl, "show", "--state=active,failed", "--property="+wanted, "*")
	found := map[string]properties{}
	for _, each := range parseShow(text) {
		found[strings.TrimSuffix(each["Id"], service)] = each
	}
	return found
}

// parseShow reads the output of systemctl show: a block of NAME=VALUE lines for each unit, an empty line between two.
func parseShow(text string) []properties {
	var found []properties
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		unit := properties{}
		for line := range strings.Lines(block) {
			if name, value, ok := strings.Cut(strings.TrimRight(line, "\n"), "="); ok {
				unit[name] = value
			}
		}
		if len(unit) > 0 {
			found = append(found, unit)
		}
	}
	return found
}

// findUnits lists the cgroups of the units that run, with their names: services (without that suffix), and scopes that
// others made. What is below such a cgroup belongs to it.
func findUnits(root string) map[string]string {
	found := map[string]string{}
	filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil || !entry.IsDir() || path == root || strings.HasSuffix(path, ".slice"):
			return nil
		case filepath.Base(path) == "init.scope":
		case strings.HasSuffix(path, service) || strings.HasSuffix(path, ".scope"):
			if len(processes(path)) > 0 {
				found[path] = strings.TrimSuffix(filepath.Base(path), service)
			}
		}
		return fs.SkipDir
	})
	return found
}

// describe makes the report's entry of a unit that runs.
func describe(unit string, state properties) report.Container {
	described := report.Container{Name: unit, Kind: "service", State: "running"}
	if state["ActiveState"] == "active" {
		described.State = "ready"
	}
	described.Restarts, _ = strconv.Atoi(state["NRestarts"])
	if at := state.seconds("ActiveEnterTimestampMonotonic"); at > 0 {
		described.ReadySeconds = &at
	}
	return described
}

func sortByName(containers []report.Container) {
	slices.SortFunc(containers, func(a, b report.Container) int { return strings.Compare(a.Name, b.Name) })
}

func sortedKeys(units map[string]properties) []string { return slices.Sorted(maps.Keys(units)) }
