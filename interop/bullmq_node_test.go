package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"loupe/internal/testenv"
)

// bullmqNode is BullMQ itself: a process of bullmq/peer.mjs.
type bullmqNode struct {
	*testenv.Process
	pkg, url string
}

func (n *bullmqNode) String() string { return n.pkg }

// startBullmqNode starts a process with the BullMQ of an npm package.
func startBullmqNode(t testing.TB, pkg string, redis rueidis.ClientOption) *bullmqNode {
	t.Helper()
	_, port, _ := strings.Cut(redis.InitAddress[0], ":")
	args := []string{pkg, port}
	if redis.Sentinel.MasterSet != "" {
		args = append(args, redis.Sentinel.MasterSet)
	}
	n := &bullmqNode{Process: testenv.StartNode(t, "bullmq/peer.mjs", args...), pkg: pkg}
	var hello struct{ Listening int }
	if err := json.Unmarshal([]byte(n.Line(t, `{"listening"`)), &hello); err != nil {
		t.Fatal(err)
	}
	n.url = fmt.Sprint("http://127.0.0.1:", hello.Listening)
	return n
}

func (n *bullmqNode) try(t testing.TB, at bullmqPlace, op string, args ...any) (json.RawMessage, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // a cleanup has no context of the test
	defer cancel()
	command, err := json.Marshal(struct {
		bullmqPlace
		Op   string `json:"op"`
		Args []any  `json:"args"`
	}{at, op, append([]any{}, args...)})
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, n.url, bytes.NewReader(command))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Value json.RawMessage
		Error *string
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if answer.Error != nil {
		return nil, errors.New(*answer.Error)
	}
	return answer.Value, nil
}
