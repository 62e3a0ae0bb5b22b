package container

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hullkit/guest/init/internal/logs"
)

func TestAllOutputOfATaskIsKept(t *testing.T) {
	for round := range 50 {
		path := filepath.Join(t.TempDir(), "output")
		reader, err := openOutput(path)
		if err != nil {
			t.Fatal(err)
		}
		made := &task{run: newRun(nil, nil, nil, reader)}
		log := logs.New(path+".log", 1<<20, nil)
		go made.drain(log)
		// the shim opens the FIFO by itself
		shim, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		expected := strings.Builder{}
		for line := range 20 * (round + 1) {
			fmt.Fprintf(&expected, "line %d of round %d\n", line, round)
			fmt.Fprintf(shim, "line %d of round %d\n", line, round)
		}
		made.finishOutput(0)
		shim.Close()
		if kept, err := os.ReadFile(path + ".log"); err != nil || string(kept) != expected.String() {
			t.Fatalf("round %d: %d bytes instead of %d, %v", round, len(kept), expected.Len(), err)
		}
	}
}
