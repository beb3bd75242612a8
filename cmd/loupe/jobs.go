package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"loupe/internal/auth"
)

func jobsCommand() *command {
	var server, query string
	var all, asJSON bool
	var limit int
	return &command{
		name:  "jobs",
		args:  "failed | retry ID… | retry --all | discard ID… | counts | reconcile",
		short: "see what failed, and mend it",
		long: "failed    lists the dead letters, newest first, with why they failed\n" +
			"retry     puts dead letters back to work with all their attempts\n" +
			"discard   removes dead letters; their assets stay failed\n" +
			"counts    prints how many jobs are in each state\n" +
			"reconcile looks for lost work now rather than at its next turn, and mends it\n\n" +
			"It talks to the running server with LOUPE_TOKEN, or with an admin token that it mints with JWT_SECRET or the\n" +
			"secret in the data directory.",
		example: "loupe jobs failed -q timeout\nloupe jobs retry --all -q timeout\nloupe jobs retry 692310f1c6f0a5a1b2c3d4e5-1",
		setFlags: func(f *flag.FlagSet) {
			f.StringVar(&server, "server", "", "`URL` of the server (default LOUPE_PUBLIC_URL, else this machine at PORT)")
			f.StringVar(&query, "q", "", "only jobs in whose id, payload or error this `text` is found")
			f.BoolVar(&all, "all", false, "retry: all dead letters that match -q")
			f.IntVar(&limit, "limit", 20, "failed: at most so many, up to 100")
			f.BoolVar(&asJSON, "json", false, "print JSON, one object a line")
		},
		run: func(ctx context.Context, in *invocation) error {
			if len(in.args) == 0 {
				return usagef("say what to do: failed, retry, discard, counts or reconcile")
			}
			if server == "" {
				server = in.config.serverURL()
			}
			api, err := newAPIClient(in.config, server, auth.User{ID: "loupe-cli", Admin: true})
			if err != nil {
				return err
			}
			j := &jobs{api: api, invocation: in, query: query, limit: limit, json: asJSON}
			verb, ids := in.args[0], in.args[1:]
			switch {
			case verb == "failed" && len(ids) == 0:
				return j.failed(ctx)
			case verb == "counts" && len(ids) == 0:
				return j.counts(ctx)
			case verb == "reconcile" && len(ids) == 0:
				return j.api.do(ctx, http.MethodPost, "/api/admin/reconcile", nil, nil)
			case verb == "retry" && all && len(ids) == 0:
				return j.retry(ctx, map[string]any{"all": true, "q": query})
			case verb == "retry" && !all && len(ids) > 0:
				return j.retry(ctx, map[string]any{"ids": ids})
			case verb == "discard" && len(ids) > 0:
				return j.discard(ctx, ids)
			}
			return usagef("cannot make sense of %q", strings.Join(in.args, " "))
		},
	}
}

// jobs is one call of the jobs command.
type jobs struct {
	*invocation
	api   *apiClient
	query string
	limit int
	json  bool
}

func (j *jobs) failed(ctx context.Context) error {
	var page struct {
		Items      []json.RawMessage
		NextCursor *string
	}
	path := "/api/admin/failed-jobs?limit=" + strconv.Itoa(j.limit) + "&q=" + url.QueryEscape(j.query)
	if err := j.api.do(ctx, http.MethodGet, path, nil, &page); err != nil {
		return err
	}
	if j.json {
		for _, item := range page.Items {
			fmt.Fprintf(j.stdout, "%s\n", item)
		}
		return nil
	}
	table := tabwriter.NewWriter(j.stdout, 0, 0, 2, ' ', 0)
	for i, item := range page.Items {
		var job struct {
			ID, UserID, Category, FailureReason string
			AttemptsMade, MaxAttempts           int
			FailedAt                            time.Time
		}
		if err := json.Unmarshal(item, &job); err != nil {
			return err
		}
		if i == 0 {
			fmt.Fprintln(table, "JOB\tUSER\tCATEGORY\tATTEMPTS\tFAILED\tREASON")
		}
		reason, _, _ := strings.Cut(job.FailureReason, "\n")
		fmt.Fprintf(table, "%s\t%s\t%s\t%d/%d\t%s\t%s\n", job.ID, job.UserID, job.Category,
			job.AttemptsMade, job.MaxAttempts, job.FailedAt.Local().Format(time.DateTime), reason)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	switch {
	case len(page.Items) == 0:
		fmt.Fprintln(j.stderr, "no dead letters")
	case page.NextCursor != nil:
		fmt.Fprintln(j.stderr, "there are more; raise --limit or narrow with -q")
	}
	return nil
}

func (j *jobs) counts(ctx context.Context) error {
	var status struct{ Data json.RawMessage }
	if err := j.api.do(ctx, http.MethodGet, "/api/assets/queue-status", nil, &status); err != nil {
		return err
	}
	if j.json {
		_, err := fmt.Fprintf(j.stdout, "%s\n", status.Data)
		return err
	}
	var counts map[string]int64
	if err := json.Unmarshal(status.Data, &counts); err != nil {
		return err
	}
	for _, name := range []string{"waiting", "active", "delayed", "paused", "completed", "failed", "oldestWaitingMs"} {
		fmt.Fprintf(j.stdout, "%-16s %d\n", name, counts[name])
	}
	return nil
}

func (j *jobs) retry(ctx context.Context, body map[string]any) error {
	var answer struct{ Data struct{ Retried int } }
	if err := j.api.do(ctx, http.MethodPost, "/api/admin/failed-jobs/retry", body, &answer); err != nil {
		return err
	}
	fmt.Fprintf(j.stdout, "retried %d\n", answer.Data.Retried)
	if ids, ok := body["ids"].([]string); ok && answer.Data.Retried < len(ids) {
		return fmt.Errorf("%d of %d could not be retried: not among the dead letters, or the asset has moved on",
			len(ids)-answer.Data.Retried, len(ids))
	}
	return nil
}

func (j *jobs) discard(ctx context.Context, ids []string) error {
	for _, id := range ids {
		if err := j.api.do(ctx, http.MethodDelete, "/api/admin/failed-jobs/"+url.PathEscape(id), nil, nil); err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
		fmt.Fprintf(j.stdout, "discarded %s\n", id)
	}
	return nil
}
