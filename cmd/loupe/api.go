package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"loupe/internal/auth"
)

// apiClient calls a running server, for the client commands.
type apiClient struct {
	base  string
	token string
	http  *http.Client
}

// clientTokenTTL is how long the token lives that a client command mints for itself.
const clientTokenTTL = time.Hour

// newAPIClient takes the token from LOUPE_TOKEN, or mints one with the server's secret where it can be read.
func newAPIClient(c *config, server string, u auth.User) (*apiClient, error) {
	token := c.token
	if token == "" {
		u.Expires = time.Now().Add(clientTokenTTL)
		var err error
		if token, err = mint(c, u); err != nil {
			return nil, fmt.Errorf("no token: set LOUPE_TOKEN, or JWT_SECRET to the server's secret: %w", err)
		}
	}
	return &apiClient{base: strings.TrimRight(server, "/"), token: token, http: &http.Client{}}, nil
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 8 << 20

// do sends a request and decodes the answer into result, which may be nil. An error answer comes back as an error that
// says what the server said.
func (a *apiClient) do(ctx context.Context, method, path string, body, result any) error {
	var reader io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		reader = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, reader)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return a.send(req, result)
}

func (a *apiClient) send(req *http.Request, result any) error {
	req.Header.Set("Authorization", "Bearer "+a.token)
	res, err := a.http.Do(req)
	if err != nil {
		return a.unreachable(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if res.StatusCode >= 400 {
		return answerError(res.StatusCode, data)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(data, result); err != nil {
		return fmt.Errorf("%s does not answer as Loupe does: %w", a.base, err)
	}
	return nil
}

func (a *apiClient) unreachable(err error) error {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("no server answers at %s; start one with \"loupe serve\" or name it with --server", a.base)
	}
	if inner, ok := errors.AsType[*url.Error](err); ok {
		err = inner.Err
	}
	return fmt.Errorf("%s: %w", a.base, err)
}

// answerError makes an error of an error answer.
func answerError(status int, data []byte) error {
	var answer struct {
		Error struct {
			Code      string
			Message   string
			RequestID string `json:"requestId"`
			Details   []struct{ Field, Message string }
		}
	}
	if json.Unmarshal(data, &answer) != nil || answer.Error.Code == "" {
		return fmt.Errorf("the server answered %d %s", status, http.StatusText(status))
	}
	text := answer.Error.Message
	for _, d := range answer.Error.Details {
		text += fmt.Sprintf("; %s: %s", d.Field, d.Message)
	}
	return fmt.Errorf("%s (%s, request %s)", text, answer.Error.Code, answer.Error.RequestID)
}
