package socketio

import (
	"context"
	"runtime/debug"

	"loupe/socketio/engineio"
)

// event is what waits for its handler.
type event struct {
	name string
	args []Value
	id   int64
}

func (e event) cost() int {
	n := engineio.MessageOverhead
	for _, a := range e.args {
		n += len(a)
	}
	return n
}

// receive queues an event for its handler. It waits while too many are queued, and returns false if the client may not
// send yet.
func (s *Socket) receive(e event) bool {
	s.mu.Lock()
	for s.state == connected && s.job != nil && s.job.queueBytes > 0 && s.job.queueBytes+e.cost() > s.ns.srv.cfg.MaxReceiveBuffer {
		free := make(chan struct{})
		s.job.queueFree = free
		s.mu.Unlock()
		<-free
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	switch s.state {
	case connecting, opening:
		return false
	case disconnected:
		return true // it could not know
	}
	if s.job == nil {
		s.job = &job{}
		s.ns.srv.running.Add(1)
		go s.work()
	}
	s.job.queue = append(s.job.queue, e)
	s.job.queueBytes += e.cost()
	return true
}

func (j *job) freeReceiver() {
	if j.queueFree != nil {
		close(j.queueFree)
		j.queueFree = nil
	}
}

func (s *Socket) work() {
	defer s.ns.srv.running.Done()
	s.run()
}

// run does what there is to do, one thing after the other.
func (s *Socket) run() {
	for task := s.next(); task != nil; task = s.next() {
		s.guard(task)
	}
}

// next returns what is to be done next: to handle an event or, after the last one of a disconnected socket, to call its
// OnDisconnect. It ends the context of what was done before.
func (s *Socket) next() func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.job
	if j.cancel != nil {
		j.cancel()
		j.cancel = nil
	}
	if len(j.queue) > 0 {
		e := j.queue[0]
		j.queue[0] = event{}
		j.queue = j.queue[1:]
		j.queueBytes -= e.cost()
		j.freeReceiver()
		return s.handling(e)
	}
	if s.state != disconnected {
		s.job = nil
		return nil
	}
	f, reason := s.onDisconnect, j.reason // the job stays: there is nothing to do after this
	s.onDisconnect = nil
	if f == nil {
		return nil
	}
	return func() { f(reason) }
}

// handling returns the call of the handler of an event, with the context for it. It holds mu.
func (s *Socket) handling(e event) func() {
	handler := s.handlers[e.name]
	if handler == nil {
		handler = s.ns.handler(e.name)
	}
	if handler == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	if s.job.cancel = cancel; s.state == disconnected {
		cancel()
	}
	return func() { handler(ctx, &Event{Socket: s, Name: e.name, Args: e.args, id: e.id}) }
}

// guard calls the user's code. A panic of it is logged and ends the connection, not the process.
func (s *Socket) guard(f func()) (sound bool) {
	defer func() {
		if sound {
			return
		}
		s.ns.srv.cfg.Logger.Error("socket.io handler panicked",
			"namespace", s.ns.name, "panic", recover(), "stack", string(debug.Stack()))
		s.conn.eng.Close(ForcedClose)
	}()
	f()
	return true
}
