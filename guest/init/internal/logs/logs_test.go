package logs

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	var printed []string
	log := New(path, 4096, func(line string) { printed = append(printed, line) })
	for _, part := range []string{"one\ntw", "o\r\n\nthr", "ee"} {
		fmt.Fprint(log, part)
	}
	if len(printed) != 3 {
		t.Error("a line without an end was printed:", printed)
	}
	log.Flush()
	log.Flush()
	expected := []string{"one", "two", "", "three"}
	if !reflect.DeepEqual(printed, expected) || !reflect.DeepEqual(log.Tail(), expected) {
		t.Error(printed, log.Tail())
	}
	if text, _ := os.ReadFile(path); string(text) != "one\ntwo\n\nthree\n" {
		t.Errorf("%q", text)
	}
}

func TestTheFilesAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	const size = 4096
	log := New(path, size, nil)
	for i := range 1000 {
		fmt.Fprintf(log, "line %d of many\n", i)
		total := int64(0)
		for _, each := range []string{path, path + ".1"} {
			if info, err := os.Stat(each); err == nil {
				total += info.Size()
			}
		}
		if total > size {
			t.Fatalf("%d bytes after line %d", total, i)
		}
	}
	newest, _ := os.ReadFile(path)
	older, _ := os.ReadFile(path + ".1")
	kept := string(older) + string(newest)
	if !strings.HasSuffix(kept, "line 998 of many\nline 999 of many\n") || len(kept) < size/2-100 {
		t.Errorf("%d bytes: %.60q", len(kept), kept)
	}
	if tail := log.Tail(); len(tail) != tailLines || tail[0] != "line 980 of many" {
		t.Error(tail)
	}
}

func TestLongLinesAreCut(t *testing.T) {
	log := New(filepath.Join(t.TempDir(), "x.log"), 1<<20, nil)
	fmt.Fprint(log, strings.Repeat("x", 3*maxLine+5), "\nend\n")
	tail := log.Tail()
	if len(tail) != 5 || len(tail[0]) != maxLine || len(tail[3]) != 5 || tail[4] != "end" {
		t.Error(len(tail))
	}
}

func TestALogThatCannotBeWrittenStopsNobody(t *testing.T) {
	log := New(filepath.Join(t.TempDir(), "missing", "x.log"), 4096, nil)
	if n, err := fmt.Fprint(log, "text\n"); n != 5 || err != nil {
		t.Error(n, err)
	}
	if tail := log.Tail(); len(tail) != 1 {
		t.Error(tail)
	}
}
