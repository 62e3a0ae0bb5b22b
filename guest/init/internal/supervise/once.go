package supervise

import "time"

// runToEnd runs one container and waits for its end.
func runToEnd(runtime Runtime, track *tracker, stop <-chan struct{}) {
	container := track.status.Container
	defer runtime.Release(container)
	track.set(func(status *Status) { status.State = Starting })
	instance, err := runtime.Start(container)
	if err != nil {
		track.set(func(status *Status) {
			status.State, status.Message = Failed, "it could not be started: "+err.Error()
		})
		return
	}
	track.set(func(status *Status) { status.State, status.Instance = Running, instance })
	stopping := false
	select {
	case <-instance.Done():
	case <-stop:
		stopping = true
		stopInstance(instance, container.Stop)
	}
	exit := instance.Exit()
	track.set(func(status *Status) {
		status.Exit, status.Instance = &exit, nil
		switch {
		case stopping:
			status.State = Stopped
		case exit.OK():
			status.State, status.ReadyAt = Exited, time.Now()
		default:
			status.State, status.Message = Failed, "it "+exit.String()
		}
	})
}
