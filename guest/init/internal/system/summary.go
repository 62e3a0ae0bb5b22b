package system

import (
	"fmt"
	"strings"

	"hullkit/guest/init/internal/hull"
	"hullkit/guest/init/internal/report"
	"hullkit/guest/init/internal/sys"
)

// summary is the table for the person at the console.
func (s *System) summary(up bool) []string {
	_, services := s.statuses()
	memory := report.ReadMemory()
	title := fmt.Sprintf("%s is up after %.1f s", s.hull.Name, s.clock.uptime())
	if !up {
		title = s.hull.Name + " runs, but not all of it: see above"
	}
	const megabyte = 1 << 20
	lines := []string{
		"",
		"  " + title,
		"",
		"  kernel    " + sys.Uname(),
		fmt.Sprintf("  memory    %d MB of %d MB in use", (memory.Total-memory.Available)/megabyte, memory.Total/megabyte),
	}
	addresses := report.Addresses()
	if len(addresses) == 0 {
		addresses = []string{"none"}
	}
	lines = append(lines, "  address   "+strings.Join(addresses, ", "), "  run by    "+s.runBy())
	label := "services"
	for _, status := range services {
		text := fmt.Sprintf("  %-8s  %-16s %s", label, status.Container.Name, status.State)
		if status.Restarts > 0 {
			text += fmt.Sprintf(", started again %d times", status.Restarts)
		}
		lines = append(lines, text)
		label = ""
	}
	return append(lines, "", "  to leave  Ctrl-A X in hullkit run, or poweroff in a shell", "")
}

// runBy names what runs the services.
func (s *System) runBy() string {
	if s.containerd == nil {
		return "init"
	}
	version, err := s.containerd.Version()
	if err != nil {
		return hull.Containerd + ", which does not answer"
	}
	return hull.Containerd + " " + version
}
