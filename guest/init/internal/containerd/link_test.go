package containerd

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hullkit/guest/init/internal/json"
	"hullkit/guest/init/internal/logs"
)

// peer is the other end of a link: it answers each request with what answer makes of it; "" ends the connection.
func peer(t *testing.T, answer func(request json.Field) string) *link {
	ours, theirs, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	made := newLink(ours)
	go made.read()
	go func() {
		defer theirs.Close()
		for lines := bufio.NewScanner(theirs); lines.Scan(); {
			_, request, err := json.Open(lines.Bytes())
			if err != nil {
				t.Error(err)
			}
			text := answer(request)
			if text == "" {
				return
			}
			number := request.Get("number").Int(1, 1<<30)
			fmt.Fprintln(theirs, strings.ReplaceAll(text, "NUMBER", fmt.Sprint(number)))
		}
	}()
	return made
}

func TestAnswersFindTheirCalls(t *testing.T) {
	var first json.Field
	asked := 0
	link := peer(t, func(request json.Field) string {
		asked++
		if asked == 1 {
			// answered after the second
			first = request
			return `{"number": 999, "pid": 1}`
		}
		number := first.Get("number").Int(1, 1<<30)
		return fmt.Sprintf("{\"number\": NUMBER, \"pid\": 22}\n{\"number\": %d, \"pid\": 11}", number)
	})
	results := make(chan int, 1)
	go func() {
		answer, err := link.call(time.Minute, json.Object{"call", "create", "id", "a"})
		if err != nil {
			t.Error(err)
		}
		results <- answer.Get("pid").Int(0, 100)
	}()
	time.Sleep(50 * time.Millisecond)
	answer, err := link.call(time.Minute, json.Object{"call", "create", "id", "b"})
	if err != nil || answer.Get("pid").Int(0, 100) != 22 || <-results != 11 {
		t.Errorf("%+v, %v", answer, err)
	}
}

func TestErrorsKeepTheirKind(t *testing.T) {
	link := peer(t, func(request json.Field) string {
		return `{"number": NUMBER, "error": "it says", "kind": "` + request.Get("call").Text() + `"}`
	})
	for kind, expected := range map[string]error{"not found": ErrNotFound, "unavailable": ErrUnavailable, "": nil} {
		_, err := link.call(time.Minute, json.Object{"call", kind})
		if err == nil || !strings.Contains(err.Error(), "it says") || expected != nil && !errors.Is(err, expected) {
			t.Errorf("%q: %v", kind, err)
		}
	}
}

func TestWhatEndsALink(t *testing.T) {
	for _, text := range []string{"", "nonsense", `{"number": "one"}`, `[1]`} {
		link := peer(t, func(json.Field) string { return text })
		if _, err := link.call(time.Minute, json.Object{"call", "wait"}); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%q: %v", text, err)
		}
		select {
		case <-link.gone:
		case <-time.After(10 * time.Second):
			t.Errorf("%q: the link goes on", text)
		}
		if _, err := link.call(time.Minute, json.Object{"call", "wait"}); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%q, later: %v", text, err)
		}
	}
}

func TestACallThatIsNotAnsweredEnds(t *testing.T) {
	link := peer(t, func(json.Field) string { return `{"number": 999}` })
	if _, err := link.call(-time.Second, json.Object{"call", "wait"}); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
}

func TestCallsAreRepeatedUntilThereIsAnAnswer(t *testing.T) {
	c := &Containerd{changed: make(chan struct{})}
	tries := 0
	answering := func(json.Field) string {
		if tries++; tries < 3 {
			return `{"number": NUMBER, "error": "containerd is away", "kind": "unavailable"}`
		}
		return `{"number": NUMBER, "code": 137}`
	}
	go func() {
		time.Sleep(50 * time.Millisecond)
		c.use(peer(t, func(json.Field) string { return "" }))
		time.Sleep(50 * time.Millisecond)
		c.use(nil)
		time.Sleep(50 * time.Millisecond)
		c.use(peer(t, answering))
	}()
	if code, err := c.Wait("web"); err != nil || code != 137 || tries != 3 {
		t.Errorf("%d, %v after %d tries", code, err, tries)
	}
}

func TestNobodyWaitsForWhatDoesNotStart(t *testing.T) {
	said := 0
	c := &Containerd{changed: make(chan struct{}), say: func(string, ...any) { said++ }, log: testLog(t)}
	fmt.Fprintln(c.log, "first")
	fmt.Fprintln(c.log, "no space left")
	waiting := make(chan error, 1)
	go func() {
		_, err := c.Create("web", "/b", "/o")
		waiting <- err
	}()
	for ends := 1; ends <= patience; ends++ {
		c.ended(daemonProgram, ends, errors.New("it exited with 1"), time.Second)
	}
	if err := <-waiting; err == nil || !strings.Contains(err.Error(), "containerd does not run: it exited with 1, 5 times in a row: no space left") {
		t.Error(err)
	}
	if c.Restarts() != patience || said != patience {
		t.Error(c.Restarts(), said)
	}
	c.stable()
	if _, err := c.connected(time.Now()); err == nil || strings.Contains(err.Error(), "in a row") {
		t.Error(err)
	}
	c.Stop()
	if c.ended(daemonProgram, 1, errors.New("it exited with 0"), time.Second) {
		t.Error("it is started again while the system ends")
	}
}

func TestTheSocketEndsWithItsPeer(t *testing.T) {
	ours, theirs, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	if _, err := ours.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Error(err)
	}
	if _, err := ours.Read(make([]byte, 1)); err == nil {
		t.Error("a closed socket is read")
	}
	if err := ours.Close(); errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}

func testLog(t *testing.T) *logs.Log { return logs.New(filepath.Join(t.TempDir(), "log"), 8192, nil) }
