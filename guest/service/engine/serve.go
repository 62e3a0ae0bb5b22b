package engine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	maxRequest = 64 << 10
	// longer than anything takes, even emulated on a busy host
	callTimeout = 120 * time.Second
)

// descriptor is where init puts the socket.
const descriptor = 3

// Init is the connection to init, which starts this program with it.
func Init() (net.Conn, error) {
	file := os.NewFile(descriptor, "init")
	init, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("descriptor %d is no socket to init, which alone starts this program: %w", descriptor, err)
	}
	file.Close()
	return init, nil
}

// request is one line of init's: what to do, and to what.
type request struct {
	Number int    `json:"number"`
	Call   string `json:"call"`
	ID     string `json:"id"`
	Bundle string `json:"bundle"`
	Output string `json:"output"`
	Signal int    `json:"signal"`
	// Seconds that the call may take; 0: the usual
	Seconds float64 `json:"seconds"`
}

// response is the one line that answers a request. Kind says what an error means to init: "not found" (there is no such
// task), "unavailable" (containerd did not answer; the call may be repeated), or nothing.
type response struct {
	Number  int    `json:"number"`
	Error   string `json:"error,omitempty"`
	Kind    string `json:"kind,omitempty"`
	PID     int    `json:"pid,omitempty"`
	Code    int    `json:"code,omitempty"`
	Version string `json:"version,omitempty"`
	Tasks   []Task `json:"tasks,omitempty"`
}

// Serve does what the lines on a connection ask for, any number at a time, until its end.
func Serve(connection io.ReadWriter, engine *Engine) error {
	var writing sync.Mutex
	lines := bufio.NewScanner(connection)
	lines.Buffer(nil, maxRequest)
	for lines.Scan() {
		var asked request
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			return fmt.Errorf("init said %q: %w", lines.Text(), err)
		}
		go func() {
			answer, _ := json.Marshal(engine.answer(asked))
			writing.Lock()
			defer writing.Unlock()
			connection.Write(append(answer, '\n'))
		}()
	}
	return lines.Err()
}

func (e *Engine) answer(asked request) response {
	answer := response{Number: asked.Number}
	ctx := context.Background()
	if asked.Call != "wait" {
		timeout := callTimeout
		if asked.Seconds > 0 {
			timeout = time.Duration(asked.Seconds * float64(time.Second))
		}
		limited, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		ctx = limited
	}
	if err := e.call(ctx, asked, &answer); err != nil {
		answer.Error, answer.Kind = describe(err)
	}
	return answer
}

func (e *Engine) call(ctx context.Context, asked request, answer *response) (err error) {
	switch asked.Call {
	case "version":
		answer.Version, err = e.Version(ctx)
	case "tasks":
		answer.Tasks, err = e.List(ctx)
	case "create":
		answer.PID, err = e.Create(ctx, asked.ID, asked.Bundle, asked.Output)
	case "start":
		err = e.Start(ctx, asked.ID)
	case "kill":
		err = e.Kill(ctx, asked.ID, asked.Signal)
	case "wait":
		answer.Code, err = e.Wait(ctx, asked.ID)
	case "delete":
		err = e.Delete(ctx, asked.ID)
	default:
		err = fmt.Errorf("there is no call %q", asked.Call)
	}
	return err
}

// describe puts an error into words, and says what it means to init.
func describe(err error) (text, kind string) {
	text = err.Error()
	found, ok := status.FromError(err)
	if ok {
		text = found.Message()
	}
	switch {
	case found.Code() == codes.NotFound:
		kind = "not found"
	case found.Code() == codes.Unavailable, found.Code() == codes.DeadlineExceeded, errors.Is(err, context.DeadlineExceeded):
		kind = "unavailable"
		text = "containerd does not answer: " + text
	}
	return text, kind
}
