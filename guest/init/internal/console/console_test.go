package console

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

func TestMessages(t *testing.T) {
	var text strings.Builder
	console := New(&text, false)
	console.Say("%d is %s", 1, "one")
	console.Debug("hidden")
	console.Print("a", "b")
	console.SetVerbose(true)
	console.Debug("shown")
	console.Flush(time.Second)
	if text.String() != "hullkit: 1 is one\na\nb\nhullkit: shown\n" {
		t.Errorf("%q", text.String())
	}
}

func TestAConsoleThatIsHeldHoldsNobodyUp(t *testing.T) {
	reader, writer := io.Pipe()
	console := New(writer, false)
	const total = 5 * maxQueue
	for range total {
		console.Say("x")
	}
	started := time.Now()
	console.Flush(50 * time.Millisecond)
	if waited := time.Since(started); waited < 50*time.Millisecond || waited > 5*time.Second {
		t.Error("Flush took", waited)
	}
	text := make(chan string)
	go func() {
		all, _ := io.ReadAll(reader)
		text <- string(all)
	}()
	console.Flush(10 * time.Second)
	console.Say("again")
	console.Flush(10 * time.Second)
	writer.Close()
	got := <-text
	if !strings.HasSuffix(got, " lines were lost\nhullkit: again\n") {
		t.Errorf("the end is %q", got[max(0, len(got)-100):])
	}
	lost := 0
	for line := range strings.Lines(got) {
		var count int
		if n, _ := fmt.Sscanf(line, "hullkit: %d lines were lost", &count); n == 1 {
			lost += count
		}
	}
	if printed := strings.Count(got, ": x\n"); lost == 0 || printed+lost != total {
		t.Errorf("%d printed, %d lost of %d", printed, lost, total)
	}
}

func TestClean(t *testing.T) {
	cases := map[string]string{
		"plain é 漢 €":              "plain é 漢 €",
		"\x1b[31mred\x07":          " [31mred ",
		"tab\tand\r\nnew line":     "tab and  new line",
		"\u202eturned\u2066\u200b": " turned  ",
		"\u009bcsi\x7f":            " csi ",
		"bad \xff":                 "bad \ufffd",
	}
	for text, expected := range cases {
		if got := Clean(text, 100); got != expected {
			t.Errorf("%q: %q", text, got)
		}
	}
	if got := Clean("abcdef", 3); got != "abc…" {
		t.Error(got)
	}
}
