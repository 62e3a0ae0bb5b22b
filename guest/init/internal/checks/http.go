package checks

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"hullkit/guest/init/internal/hull"
	"hullkit/guest/init/internal/sys"
)

const (
	maxHead      = 64 << 10
	maxBody      = 4 << 20
	refusedDelay = 200 * time.Millisecond
	// how long a port may refuse: a service without a condition to be ready may still be starting
	maxRefused = 5 * time.Second
)

// checkHTTP asks once, over HTTP/1.0; while nobody listens it tries again for a while.
func checkHTTP(check *hull.HTTPCheck, deadline time.Time) error {
	patience := time.Now().Add(maxRefused)
	for {
		connection, err := sys.DialLocal(check.Port, deadline)
		if err == nil {
			defer connection.Close()
			return request(connection, check)
		}
		if !errors.Is(err, syscall.ECONNREFUSED) || tooLate(patience) || tooLate(deadline) {
			return fmt.Errorf("port %d: %w", check.Port, err)
		}
		time.Sleep(refusedDelay)
	}
}

// tooLate tells whether another try would come after a time.
func tooLate(limit time.Time) bool { return time.Now().Add(refusedDelay).After(limit) }

func request(connection *os.File, check *hull.HTTPCheck) error {
	path := check.Path
	if path == "" {
		path = "/"
	}
	_, err := fmt.Fprintf(connection, "GET %s HTTP/1.0\r\nHost: localhost\r\nUser-Agent: hullkit\r\nConnection: close\r\n\r\n", path)
	if err != nil {
		return err
	}
	status, body, err := response(connection)
	if err != nil {
		return fmt.Errorf("port %d %s: %w", check.Port, path, err)
	}
	if status != check.Status {
		return fmt.Errorf("port %d %s: status %d instead of %d", check.Port, path, status, check.Status)
	}
	if !strings.Contains(body, check.Contains) {
		return fmt.Errorf("port %d %s: the body does not contain %q", check.Port, path, check.Contains)
	}
	return nil
}

// response reads a status and a body (RFC 9112); a server may answer HTTP/1.0 with a chunked body, which is not undone:
// the text looked for is in one chunk as a rule.
func response(connection io.Reader) (status int, body string, err error) {
	reader := bufio.NewReader(io.LimitReader(connection, maxHead+maxBody))
	line, err := reader.ReadString('\n')
	if err != nil {
		return 0, "", fmt.Errorf("no answer: %w", err)
	}
	fields := strings.Fields(line)
	if len(fields) < 2 || !strings.HasPrefix(fields[0], "HTTP/") {
		return 0, "", errors.New("the answer is not HTTP")
	}
	if status, err = strconv.Atoi(fields[1]); err != nil {
		return 0, "", errors.New("the answer is not HTTP")
	}
	for strings.TrimRight(line, "\r\n") != "" {
		if line, err = reader.ReadString('\n'); err != nil {
			return status, "", nil
		}
	}
	data, err := io.ReadAll(reader)
	if err != nil && len(data) == 0 {
		return status, "", err
	}
	return status, string(data), nil
}
