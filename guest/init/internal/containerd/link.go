package containerd

import (
	"bufio"
	"fmt"
	"os"
	"sync"
	"time"

	"hullkit/guest/init/internal/json"
)

const maxAnswer = 1 << 20

// link is the connection to one hull-service.
type link struct {
	socket *os.File

	mutex   sync.Mutex
	number  int
	pending map[int]chan json.Field
	// gone is closed when hull-service is
	gone chan struct{}
}

func newLink(socket *os.File) *link {
	return &link{socket: socket, pending: map[int]chan json.Field{}, gone: make(chan struct{})}
}

// read takes answers until the end of the connection.
func (l *link) read() {
	lines := bufio.NewScanner(l.socket)
	lines.Buffer(nil, maxAnswer)
	for lines.Scan() {
		document, answer, err := json.Open(lines.Bytes())
		number := 0
		if err == nil {
			number = answer.Get("number").Int(1, 1<<53)
		}
		if err != nil || document.Err != nil {
			break
		}
		l.mutex.Lock()
		waiting := l.pending[number]
		delete(l.pending, number)
		l.mutex.Unlock()
		if waiting != nil {
			waiting <- answer
		}
	}
	l.socket.Close()
	close(l.gone)
}

// call sends a request and waits for its answer.
func (l *link) call(timeout time.Duration, request json.Object) (json.Field, error) {
	waiting := make(chan json.Field, 1)
	l.mutex.Lock()
	l.number++
	number := l.number
	l.pending[number] = waiting
	_, err := l.socket.Write(append(json.Encode(append(json.Object{"number", number}, request...)), '\n'))
	l.mutex.Unlock()
	if err != nil {
		return json.Field{}, fmt.Errorf("%w: hull-service: %w", ErrUnavailable, err)
	}
	// hull-service keeps the time of a call; it gets a little more, to say so itself
	timer := time.NewTimer(timeout + time.Second)
	defer timer.Stop()
	select {
	case answer := <-waiting:
		return answer, failure(answer)
	case <-l.gone:
		return json.Field{}, fmt.Errorf("%w: hull-service ended", ErrUnavailable)
	case <-timer.C:
		return json.Field{}, fmt.Errorf("%w: hull-service does not answer", ErrUnavailable)
	}
}
