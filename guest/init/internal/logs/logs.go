// Package logs keeps the output of containers: bounded files, and the last lines for when something goes wrong.
package logs

import (
	"bytes"
	"os"
	"sync"
)

const (
	tailLines = 20
	maxLine   = 4096
)

// Log is the output of one container. The two files PATH and PATH.1 together take at most size bytes.
type Log struct {
	path  string
	size  int64
	print func(line string)

	mutex   sync.Mutex
	file    *os.File
	written int64
	tail    []string
	partial []byte
}

// New makes the log of a container; print (may be nil) gets every line as well.
func New(path string, size int64, print func(line string)) *Log {
	return &Log{path: path, size: size, print: print}
}

// Write takes output as it comes. It never fails: a container must not be stopped by a full log.
func (l *Log) Write(data []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.partial = append(l.partial, data...)
	for {
		end := bytes.IndexByte(l.partial, '\n')
		size := end + 1
		if end < 0 || end > maxLine {
			if len(l.partial) <= maxLine {
				break
			}
			end, size = maxLine, maxLine
		}
		l.line(l.partial[:end])
		l.partial = l.partial[:copy(l.partial, l.partial[size:])]
	}
	return len(data), nil
}

// Flush ends a line that has no end yet.
func (l *Log) Flush() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if len(l.partial) > 0 {
		l.line(l.partial)
		l.partial = nil
	}
}

// Tail returns the last lines.
func (l *Log) Tail() []string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return append([]string(nil), l.tail...)
}

func (l *Log) line(line []byte) {
	text := string(bytes.TrimSuffix(line, []byte("\r")))
	if len(l.tail) == tailLines {
		copy(l.tail, l.tail[1:])
		l.tail = l.tail[:tailLines-1]
	}
	l.tail = append(l.tail, text)
	l.store(text + "\n")
	if l.print != nil {
		l.print(text)
	}
}

func (l *Log) store(text string) {
	if l.written+int64(len(text)) > l.size/2 && l.file != nil {
		l.file.Close()
		l.file = nil
		os.Rename(l.path, l.path+".1")
		l.written = 0
	}
	if l.file == nil {
		file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
		if err != nil {
			return
		}
		l.file = file
	}
	n, _ := l.file.WriteString(text)
	l.written += int64(n)
}
