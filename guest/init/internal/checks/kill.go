package checks

import (
	"errors"
	"fmt"
	"time"

	"hullkit/guest/init/internal/hull"
	"hullkit/guest/init/internal/supervise"
)

// Services are those of the running system.
type Services interface {
	Statuses() []supervise.Status
	// Kill ends a service as a crash would.
	Kill(name string) error
}

const pollKilled = 50 * time.Millisecond

// checkKill kills a service, which must be started again and become ready.
func checkKill(check hull.Check, services Services) error {
	name := check.Kill
	before := find(services.Statuses(), name)
	if before == nil {
		return errors.New("it has not been started yet")
	}
	if before.State != supervise.Ready {
		return fmt.Errorf("it is %s, not ready", before.State)
	}
	if err := services.Kill(name); err != nil {
		return err
	}
	for deadline := time.Now().Add(check.Timeout); ; time.Sleep(pollKilled) {
		now := find(services.Statuses(), name)
		switch {
		case now.Restarts > before.Restarts && now.State == supervise.Ready:
			return nil
		case now.State == supervise.Failed:
			return fmt.Errorf("it was killed, and is %s: %s", now.State, now.Message)
		case time.Now().After(deadline):
			return fmt.Errorf("it was killed, and is %s after %v", now.State, check.Timeout)
		}
	}
}

func find(services []supervise.Status, name string) *supervise.Status {
	for i := range services {
		if services[i].Container.Name == name {
			return &services[i]
		}
	}
	return nil
}
