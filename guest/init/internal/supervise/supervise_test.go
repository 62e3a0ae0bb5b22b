package supervise

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hullkit/guest/init/internal/hull"
	"hullkit/guest/init/internal/proc"
)

func exitCode(code int) Exit { return Exit{Exit: proc.Exit{Code: code}} }

func TestBackoff(t *testing.T) {
	const short, long = time.Second, 11 * time.Second
	always := hull.Restart{Policy: hull.RestartAlways, Delay: time.Second, Limit: 0}
	b := backoff{policy: always}
	for _, expected := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		if delay, again := b.next(short, false); !again || delay != expected*time.Second {
			t.Errorf("%v instead of %d s", delay, expected)
		}
	}
	if delay, _ := b.next(long, true); delay != time.Second {
		t.Error("a stable run does not start the delays anew:", delay)
	}
	limited := backoff{policy: hull.Restart{Policy: hull.RestartOnFailure, Delay: 0, Limit: 3}}
	for i, expected := range []bool{true, true, false} {
		if delay, again := limited.next(short, true); again != expected || delay != 0 {
			t.Errorf("exit %d: again is %v after %v", i+1, again, delay)
		}
	}
	if !limited.exhausted() {
		t.Error("the limit is reached")
	}
	fine := backoff{policy: hull.Restart{Policy: hull.RestartOnFailure, Limit: 3}}
	if _, again := fine.next(short, false); again || fine.exhausted() {
		t.Error("on-failure starts again what ended well")
	}
	never := backoff{policy: hull.Restart{Policy: hull.RestartNo}}
	if _, again := never.next(long, true); again {
		t.Error("no means no")
	}
}

func TestProblems(t *testing.T) {
	found := problems([]*hull.Container{
		container("a", after("b")), container("b", requires("c")), container("c", after("a")),
		container("self", after("self")), container("lost", requires("nobody")), container("fine", after("a")), container("x"),
	})
	expected := map[string]string{
		"a": "a → b → c → a", "b": "b → c → a → b", "c": "c → a → b → c", "self": "self → self", "lost": "nobody",
	}
	for name, says := range expected {
		if !strings.Contains(found[name], says) {
			t.Errorf("%s: %q", name, found[name])
		}
	}
	if len(found) != len(expected) {
		t.Error(found)
	}
}

// supervised runs services until they have settled, lets observe go on, stops them and returns what happened.
func supervised(t *testing.T, plans map[string]*plan, observe time.Duration, states []State, services ...*hull.Container) (*Group, *fakeRuntime) {
	runtime := newRuntime(t, plans)
	group := NewGroup(runtime, services, runtime.changed(states...))
	group.Start()
	group.Wait()
	synctest.Wait()
	runtime.note("settled")
	time.Sleep(observe)
	return group, runtime
}

func expectLog(t *testing.T, runtime *fakeRuntime, expected ...string) {
	t.Helper()
	runtime.mutex.Lock()
	defer runtime.mutex.Unlock()
	if !slices.Equal(runtime.log, expected) {
		t.Errorf("what happened:\n  %s\ninstead of\n  %s", strings.Join(runtime.log, "\n  "), strings.Join(expected, "\n  "))
	}
}

func TestOrderOfStartAndStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plans := map[string]*plan{
			"db":  {readyAfter: 3 * time.Second, stops: time.Second},
			"web": {stops: 2 * time.Second},
		}
		group, runtime := supervised(t, plans, 0, []State{Running, Ready, Stopped},
			container("web", requires("db")), container("db", readyWithin(time.Minute)))
		group.Stop()
		expectLog(t, runtime,
			"0s db running", "3.1s db ready", "3.1s web running", "4.1s web ready", "4.1s settled",
			"4.1s web gets SIGTERM", "6.1s web stopped", "6.1s web released",
			"6.1s db gets SIGTERM", "7.1s db stopped", "7.1s db released")
	})
}

func TestAfterGoesOnWhereRequiresFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plans := map[string]*plan{"db": {runs: []run{{lasts: 500 * time.Millisecond, exit: exitCode(3)}}}}
		group, runtime := supervised(t, plans, 0, []State{Running, Ready, Failed},
			container("db"), container("soft", after("db")), container("hard", requires("db")), container("deep", requires("hard")))
		defer group.Stop()
		expectSet(t, runtime, "500ms db failed", "500ms soft running", "500ms hard failed", "500ms deep failed", "1.5s soft ready")
		messages := map[string]string{}
		for _, status := range group.Statuses() {
			messages[status.Container.Name] = status.Message
		}
		if messages["db"] != "it exited with 3" || messages["hard"] != "it requires db, which did not become ready" {
			t.Error(messages)
		}
	})
}

// expectSet is for things that happen at the same time.
func expectSet(t *testing.T, runtime *fakeRuntime, expected ...string) {
	t.Helper()
	runtime.mutex.Lock()
	defer runtime.mutex.Unlock()
	for _, line := range expected {
		if !slices.Contains(runtime.log, line) {
			t.Errorf("%q did not happen:\n  %s", line, strings.Join(runtime.log, "\n  "))
		}
	}
}

func TestRestartsUntilGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plans := map[string]*plan{"crash": {runs: []run{{lasts: time.Millisecond, exit: exitCode(1)}, {err: errors.New("no")}}}}
		group, runtime := supervised(t, plans, 0, []State{Starting, Exited, Failed},
			container("crash", restarts(hull.RestartOnFailure, time.Second, 3)))
		group.Stop()
		expectLog(t, runtime,
			"0s crash starting", "1ms crash exited", "1.001s crash starting", "1.001s crash exited",
			"3.001s crash starting", "3.001s crash failed", "3.001s crash released", "3.001s settled")
		status := group.Statuses()[0]
		if status.Restarts != 2 || status.Message != "it could not be started: no, 3 times in a row; given up" || status.Exit.Code != 1 {
			t.Errorf("%+v", status)
		}
	})
}

func TestAServiceThatEndsTooSoonHasFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plans := map[string]*plan{
			"soon": {runs: []run{{lasts: 500 * time.Millisecond}}},
			"late": {runs: []run{{lasts: 1500 * time.Millisecond}}},
		}
		group, _ := supervised(t, plans, time.Second,
			nil, container("soon", restarts(hull.RestartOnFailure, 0, 5)), container("late", restarts(hull.RestartOnFailure, 0, 5)))
		defer group.Stop()
		statuses := group.Statuses()
		if statuses[0].State != Failed || !statuses[0].ReadyAt.IsZero() || statuses[0].Restarts != 0 {
			t.Errorf("%+v", statuses[0])
		}
		if statuses[1].State != Exited || statuses[1].ReadyAt.IsZero() || statuses[1].ExitsSinceReady != 1 {
			t.Errorf("%+v", statuses[1])
		}
	})
}

func TestReadyAgainAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plans := map[string]*plan{"web": {runs: []run{{lasts: 20 * time.Second, exit: exitCode(1)}, {}}, stops: time.Second}}
		group, runtime := supervised(t, plans, 30*time.Second, []State{Ready, Exited, Stopped},
			container("web", restarts(hull.RestartAlways, 2*time.Second, 5)))
		group.Stop()
		expectLog(t, runtime, "1s web ready", "1s settled", "20s web exited", "23s web ready",
			"31s web gets SIGTERM", "32s web stopped", "32s web released")
		status := group.Statuses()[0]
		if status.Restarts != 1 || status.ExitsSinceReady != 1 || status.ReadyAt.Sub(runtime.begin) != time.Second {
			t.Errorf("%+v", status)
		}
	})
}

func TestNotReadyInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plans := map[string]*plan{"slow": {readyAfter: time.Hour}}
		group, runtime := supervised(t, plans, time.Second, []State{Ready, Failed, Stopped},
			container("slow", readyWithin(2*time.Second)))
		status := group.Statuses()[0]
		if status.Instance == nil || status.Message != "it was not ready within 2s: not yet" {
			t.Errorf("it is left running: %+v", status)
		}
		group.Stop()
		expectLog(t, runtime, "2s slow failed", "2s settled", "3s slow gets SIGTERM", "3s slow stopped", "3s slow released")
	})
}

func TestKilledWhenItDoesNotStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		group, runtime := supervised(t, map[string]*plan{"deaf": {stops: -1}}, 0, []State{Stopped}, container("deaf"))
		group.Stop()
		expectLog(t, runtime, "1s settled", "1s deaf gets SIGTERM", "11s deaf is killed", "11s deaf stopped", "11s deaf released")
		if exit := group.Statuses()[0].Exit; exit == nil || exit.Signal != 9 {
			t.Error(exit)
		}
	})
}

func TestStopAtAnyTime(t *testing.T) {
	for _, when := range []time.Duration{0, time.Millisecond, 500 * time.Millisecond, 1500 * time.Millisecond, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			plans := map[string]*plan{
				"crash": {runs: []run{{lasts: time.Millisecond, exit: exitCode(1)}}},
				"slow":  {readyAfter: time.Hour},
			}
			runtime := newRuntime(t, plans)
			group := NewGroup(runtime, []*hull.Container{
				container("crash", restarts(hull.RestartAlways, time.Second, 0)), container("slow", readyWithin(time.Hour)),
				container("waits", after("slow")), container("a", after("b")), container("b", after("a")),
			}, func(Status) {})
			group.Start()
			time.Sleep(when)
			group.Stop()
			group.Wait()
			for _, status := range group.Statuses() {
				if status.Instance != nil || status.State != Stopped && status.State != Failed {
					t.Errorf("after %v: %+v", when, status)
				}
			}
		})
	}
}

func TestSequence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runtime := newRuntime(t, map[string]*plan{
			"one":   {runs: []run{{lasts: time.Second}}},
			"two":   {runs: []run{{lasts: time.Second, exit: exitCode(4)}}},
			"three": {runs: []run{{err: errors.New("no such file")}}},
			"four":  {runs: []run{{lasts: time.Second}}},
		})
		sequence := NewSequence(runtime, []*hull.Container{container("one"), container("two"), container("three"), container("four")},
			runtime.changed(Running, Exited, Failed))
		sequence.Run(nil)
		expectLog(t, runtime, "0s one running", "1s one exited", "1s one released", "1s two running", "2s two failed",
			"2s two released", "2s three failed", "2s three released", "2s four running", "3s four exited", "3s four released")
		statuses := sequence.Statuses()
		if statuses[1].Message != "it exited with 4" || statuses[2].Message != "it could not be started: no such file" ||
			statuses[3].ReadyAt.IsZero() {
			t.Errorf("%+v", statuses)
		}
	})
}

func TestSequenceIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runtime := newRuntime(t, map[string]*plan{"hangs": {stops: time.Second}})
		sequence := NewSequence(runtime, []*hull.Container{container("hangs"), container("never")}, runtime.changed(Running, Stopped))
		stop := make(chan struct{})
		time.AfterFunc(time.Minute, func() { close(stop) })
		sequence.Run(stop)
		expectLog(t, runtime, "0s hangs running", "1m0s hangs gets SIGTERM", "1m1s hangs stopped", "1m1s hangs released")
		if state := sequence.Statuses()[1].State; state != Waiting {
			t.Error(state)
		}
	})
}

func TestSequenceGoesOnAfterATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runtime := newRuntime(t, map[string]*plan{
			"hangs": {stops: time.Second}, "deaf": {stops: -1}, "quick": {runs: []run{{lasts: time.Second}}},
		})
		var all []*hull.Container
		for _, name := range []string{"hangs", "deaf", "quick"} {
			one := container(name)
			one.Timeout = time.Minute
			all = append(all, one)
		}
		sequence := NewSequence(runtime, all, runtime.changed(Running, Exited, Failed))
		sequence.Run(nil)
		expectLog(t, runtime, "0s hangs running", "1m0s hangs gets SIGTERM", "1m1s hangs failed", "1m1s hangs released",
			"1m1s deaf running", "2m1s deaf gets SIGTERM", "2m11s deaf is killed", "2m11s deaf failed", "2m11s deaf released",
			"2m11s quick running", "2m12s quick exited", "2m12s quick released")
		for _, status := range sequence.Statuses()[:2] {
			if status.Message != "it had not ended after 1m0s, its timeout" || status.Exit == nil || !status.ReadyAt.IsZero() {
				t.Errorf("%+v", status)
			}
		}
	})
}

func TestAKilledServiceComesBackBlameless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		web := container("web", restarts(hull.RestartAlways, time.Second, 5))
		group, _ := supervised(t, map[string]*plan{"web": {}}, 0, nil, web)
		for count := 1; count <= 2; count++ {
			if err := group.Kill("web"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if err := group.Kill("web"); err == nil {
				t.Error("killed while it did not run")
			}
			time.Sleep(10 * time.Second)
			status := group.Statuses()[0]
			if status.State != Ready || status.Restarts != count || status.ExitsSinceReady != 0 || status.Exit.Signal != 9 {
				t.Errorf("%+v", status)
			}
		}
		group.services[0].get().Instance.Kill()
		time.Sleep(10 * time.Second)
		if status := group.Statuses()[0]; status.Restarts != 3 || status.ExitsSinceReady != 1 {
			t.Errorf("a crash of its own: %+v", status)
		}
		if err := group.Kill("nobody"); err == nil {
			t.Error("nobody was killed")
		}
		group.Stop()
	})
}

func TestWhatHasExitedIsNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// it takes longer to take it away than it takes to count as ready
		crash := &plan{runs: []run{{lasts: time.Millisecond, exit: exitCode(1)}}, cleanup: 5 * time.Second}
		group, runtime := supervised(t, map[string]*plan{"crash": crash}, 0, []State{Ready, Failed}, container("crash"))
		expectLog(t, runtime, "5.001s crash failed", "5.001s crash released", "5.001s settled")
		group.Stop()
	})
}
