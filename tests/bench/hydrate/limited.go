package main

import (
	"io"
	"net"
	"time"
)

// limited lets a connection send at most rate bytes a second.
type limited struct {
	*net.TCPConn
	rate float64
	next time.Time
}

func (l *limited) pace(sent int64) {
	now := time.Now()
	if l.next.Before(now) {
		l.next = now
	}
	l.next = l.next.Add(time.Duration(float64(sent) / l.rate * float64(time.Second)))
	if ahead := l.next.Sub(now); ahead > 5*time.Millisecond {
		time.Sleep(ahead)
	}
}

func (l *limited) Write(body []byte) (int, error) {
	sent, err := l.TCPConn.Write(body)
	l.pace(int64(sent))
	return sent, err
}

// ReadFrom keeps sendfile(2): net/http asks for it, with the file in a LimitedReader.
func (l *limited) ReadFrom(source io.Reader) (int64, error) {
	whole, counted := source.(*io.LimitedReader)
	if !counted {
		whole = &io.LimitedReader{R: source, N: 1 << 62}
	}
	var total int64
	for whole.N > 0 {
		sent, err := l.TCPConn.ReadFrom(&io.LimitedReader{R: whole.R, N: min(whole.N, 256<<10)})
		total += sent
		whole.N -= sent
		l.pace(sent)
		if err != nil || sent == 0 {
			return total, err
		}
	}
	return total, nil
}

type limitedListener struct {
	net.Listener
	rate float64
}

func (l limitedListener) Accept() (net.Conn, error) {
	connection, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &limited{TCPConn: connection.(*net.TCPConn), rate: l.rate}, nil
}
