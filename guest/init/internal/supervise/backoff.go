package supervise

import (
	"time"

	"hullkit/guest/init/internal/hull"
)

const (
	// a run of this length was no failure to start
	stableRun = 10 * time.Second
	maxDelay  = 30 * time.Second
)

// backoff decides whether and when a service starts again.
type backoff struct {
	policy hull.Restart
	// exits in a row without a stable run
	exits int
}

// next is called after each exit: ran is how long the run was, failed whether it ended badly.
func (b *backoff) next(ran time.Duration, failed bool) (delay time.Duration, again bool) {
	if b.policy.Policy == hull.RestartNo || b.policy.Policy == hull.RestartOnFailure && !failed {
		return 0, false
	}
	if ran >= stableRun {
		b.exits = 0
	}
	b.exits++
	if b.policy.Limit > 0 && b.exits >= b.policy.Limit {
		return 0, false
	}
	delay = b.policy.Delay
	for i := 1; i < b.exits && delay < maxDelay; i++ {
		delay *= 2
	}
	return min(delay, maxDelay), true
}

// exhausted tells whether the limit is the reason not to start again.
func (b *backoff) exhausted() bool {
	return b.policy.Limit > 0 && b.exits >= b.policy.Limit
}
