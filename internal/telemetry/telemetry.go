// Package telemetry makes the logger and keeps the figures that /metrics shows. It knows no other package of ours:
// cmd/loupe hands its methods to whoever has something to tell.
package telemetry

import (
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// NewLogger returns a logger that writes "text" or "json" lines of at least the given level to w.
func NewLogger(w io.Writer, format string, level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// Metrics are the figures of one process, in a registry of their own.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
	accepted prometheus.Counter
	attempts *prometheus.HistogramVec
	finished *prometheus.HistogramVec
	repaired *prometheus.CounterVec
	stale    prometheus.Counter
}

// jobBuckets are seconds, from a built-in analysis to one that waited out an outage.
var jobBuckets = []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 1800, 7200}

// NewMetrics returns empty figures, with those of the Go runtime and the process beside them.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "loupe_http_request_seconds", Help: "Duration of HTTP requests by route.",
			Buckets: []float64{.002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120},
		}, []string{"route", "method", "status"}),
		accepted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "loupe_photos_accepted_total", Help: "Photos answered 202.",
		}),
		attempts: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "loupe_attempt_seconds", Help: "Duration of attempts at the AI service by outcome.", Buckets: jobBuckets,
		}, []string{"outcome"}),
		finished: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "loupe_asset_seconds", Help: "Time from upload to the end of a run by status.", Buckets: jobBuckets,
		}, []string{"status"}),
		repaired: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "loupe_repaired_total", Help: "What the reconciler mended, by what was wrong.",
		}, []string{"was"}),
		stale: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "loupe_jobs_skipped_total", Help: "Jobs and results that came too late and changed nothing.",
		}),
	}
	m.registry.MustRegister(m.requests, m.accepted, m.attempts, m.finished, m.repaired, m.stale,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler serves the figures as Prometheus text.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Request counts an HTTP request. The route is its pattern, never its path, so that there are few of them.
func (m *Metrics) Request(route, method string, status int, took time.Duration) {
	if route == "" {
		route = "none"
	}
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete, http.MethodOptions:
	default:
		method = "other"
	}
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Observe(took.Seconds())
}

// Accepted counts a photo that was answered 202.
func (m *Metrics) Accepted() { m.accepted.Inc() }

// Attempt counts an attempt at the AI service.
func (m *Metrics) Attempt(outcome string, took time.Duration) {
	m.attempts.WithLabelValues(outcome).Observe(took.Seconds())
}

// Finished counts the end of a run.
func (m *Metrics) Finished(status string, sinceUpload time.Duration) {
	m.finished.WithLabelValues(status).Observe(sinceUpload.Seconds())
}

// Repaired counts something that the reconciler mended.
func (m *Metrics) Repaired(was string) { m.repaired.WithLabelValues(was).Inc() }

// Skipped counts a job or result that came too late.
func (m *Metrics) Skipped() { m.stale.Inc() }

// Gauges asks read for figures at each scrape: a map from label value to figure, under one name and label.
func (m *Metrics) Gauges(name, help, label string, read func() map[string]float64) {
	m.registry.MustRegister(&gauges{prometheus.NewDesc(name, help, []string{label}, nil), read})
}

// Gauge asks read for one figure at each scrape.
func (m *Metrics) Gauge(name, help string, read func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
}

type gauges struct {
	desc *prometheus.Desc
	read func() map[string]float64
}

func (g *gauges) Describe(ch chan<- *prometheus.Desc) { ch <- g.desc }

func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	for label, value := range g.read() {
		ch <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, value, label)
	}
}
