package httpapi

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"loupe/internal/auth"
	"loupe/internal/overview"
	"loupe/internal/queue"
)

// overviewJSON is what the console shows. Queue, depth and workers are the installation's; the rest is of the process that
// answers.
type overviewJSON struct {
	Queue      queueJSON       `json:"queue"`
	Depth      []depthJSON     `json:"depth"`
	Workers    []workerJSON    `json:"workers"`
	Process    processJSON     `json:"process"`
	Service    *aiService      `json:"aiService,omitempty"`
	Stages     []stageJSON     `json:"stages"`
	Throughput []minuteJSON    `json:"throughput"`
	Attempts   []attemptsJSON  `json:"attempts"`
	Spans      overviewSpansMS `json:"spans"`
}

type queueJSON struct {
	depthJSON
	Completed int  `json:"completed"`
	IsPaused  bool `json:"isPaused"`
}

type depthJSON struct {
	At              isoTime `json:"at"`
	Waiting         int     `json:"waiting"`
	Active          int     `json:"active"`
	Delayed         int     `json:"delayed"`
	Paused          int     `json:"paused"`
	Failed          int     `json:"failed"`
	OldestWaitingMS int64   `json:"oldestWaitingMs"`
}

type workerJSON struct {
	Name        string        `json:"name"`
	Connections int           `json:"connections"`
	Since       isoTime       `json:"since,omitzero"`
	Running     []runningJSON `json:"running"`
}

type runningJSON struct {
	ID        string  `json:"id"`
	AssetID   string  `json:"assetId"`
	Attempt   int     `json:"attempt"`
	StartedAt isoTime `json:"startedAt"`
}

type processJSON struct {
	Name      string   `json:"name"`
	Version   string   `json:"version"`
	Roles     []string `json:"roles"`
	StartedAt isoTime  `json:"startedAt"`
	Alone     bool     `json:"alone"`
	Sockets   int      `json:"sockets"`
}

type stageJSON struct {
	Stage overview.Stage `json:"stage"`
	Count int            `json:"count"`
	P50MS float64        `json:"p50Ms"`
	P95MS float64        `json:"p95Ms"`
}

type minuteJSON struct {
	At      isoTime `json:"at"`
	Active  int     `json:"active"`
	Partial int     `json:"partial"`
	Failed  int     `json:"failed"`
}

type attemptsJSON struct {
	Outcome string `json:"outcome"`
	Count   int    `json:"count"`
}

// overviewSpansMS say over how long the figures are taken.
type overviewSpansMS struct {
	SampleEvery int64 `json:"sampleEveryMs"`
	History     int64 `json:"historyMs"` // depth, throughput and attempts
	Stages      int64 `json:"stagesMs"`
}

// overview answers with the figures of the console. Of the samples only those after ?since are sent, if it is there: who
// looks again and again has the others.
func (a *api) overview(w http.ResponseWriter, r *http.Request, _ auth.User) error {
	var since time.Time
	if text := r.URL.Query().Get("since"); text != "" {
		var err error
		if since, err = time.Parse(time.RFC3339, text); err != nil {
			return invalid("Invalid since", "since", "Must be an ISO 8601 time")
		}
	}
	counts, err := a.Jobs.Counts(r.Context())
	if err != nil {
		return unavailable(err)
	}
	workers, err := a.Jobs.Workers(r.Context())
	if err != nil {
		return unavailable(err)
	}
	shown := overviewJSON{
		Queue:   queueJSON{showDepth(overview.Sample{At: time.Now(), Counts: counts}), counts.Completed, counts.IsPaused},
		Depth:   apply(a.Recent.Samples(since), showDepth),
		Workers: apply(workers, showWorker),
		Process: processJSON{
			Name: a.Process.Name, Version: a.Process.Version, Roles: a.Process.Roles,
			StartedAt: isoTime(a.Process.Started), Alone: a.Process.Alone,
		},
		Service:    a.aiService(),
		Stages:     apply(a.Recent.Times(), showStage),
		Throughput: apply(a.Recent.Throughput(), showMinute),
		Attempts:   []attemptsJSON{},
		Spans: overviewSpansMS{
			overview.SampleEvery.Milliseconds(), overview.Span.Milliseconds(), overview.StageSpan.Milliseconds(),
		},
	}
	if a.Sockets != nil {
		shown.Process.Sockets = a.Sockets()
	}
	attempts := a.Recent.Attempts()
	for _, outcome := range slices.Sorted(maps.Keys(attempts)) {
		shown.Attempts = append(shown.Attempts, attemptsJSON{outcome, attempts[outcome]})
	}
	writeJSON(w, http.StatusOK, shown)
	return nil
}

// apply returns f of each, never nil: an empty list is [] and not null.
func apply[A, B any](list []A, f func(A) B) []B {
	shown := make([]B, len(list))
	for i, v := range list {
		shown[i] = f(v)
	}
	return shown
}

func showDepth(s overview.Sample) depthJSON {
	return depthJSON{
		isoTime(s.At), s.Waiting, s.Active, s.Delayed, s.Paused, s.Failed, s.OldestWaiting.Milliseconds(),
	}
}

func showWorker(worker queue.Worker) workerJSON {
	return workerJSON{worker.Name, worker.Connections, isoTime(worker.Since), apply(worker.Running, showRunning)}
}

func showRunning(job queue.Running) runningJSON {
	return runningJSON{job.ID, job.AssetID, job.Attempt, isoTime(job.StartedAt)}
}

func showStage(s overview.Times) stageJSON {
	return stageJSON{s.Stage, s.Count, milliseconds(s.P50), milliseconds(s.P95)}
}

// milliseconds keeps what is faster than one apart from nothing.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func showMinute(m overview.Minute) minuteJSON {
	return minuteJSON{isoTime(m.At), m.Finished["active"], m.Finished["partial"], m.Finished["failed"]}
}
