package interop

import (
	"strconv"
	"strings"
)

type object = map[string]any

var whole = object{
	"brand": object{"value": "Nike", "confidence": 0.95}, "model": object{"value": "Air Jordan 1", "confidence": 0.88},
	"colorway": object{"value": "Chicago", "confidence": 0.82}, "processedImageUrl": "https://images.example/p.png",
}

// contract has every line of the AI contract's tables. (A service that cannot be reached at all is below.)
var contract = []contractCase{
	// 200 with a valid body.
	{
		name: "camel", answers: []answer{{Body: whole}},
		status: "active", attempts: 1, asked: 1, url: "https://images.example/p.png",
		fields: map[string]field{"brand": {"Nike", 0.95}, "model": {"Air Jordan 1", 0.88}, "colorway": {"Chicago", 0.82}},
	},
	{
		name: "snake", answers: []answer{{Body: object{"brand": whole["brand"], "processed_image_url": "http://images.example/s.png"}}},
		status: "active", attempts: 1, asked: 1, url: "http://images.example/s.png",
		fields: map[string]field{"brand": {"Nike", 0.95}},
	},
	{
		name: "bare", answers: []answer{{Body: object{"brand": " Nike ", "model": "Dunk", "colorway": "Panda"}}},
		status: "active", attempts: 1, asked: 1,
		fields: map[string]field{"brand": {"Nike", 0.8}, "model": {"Dunk", 0.8}, "colorway": {"Panda", 0.7}},
	},
	{
		name: "null", answers: []answer{{Body: object{"brand": nil, "model": object{"value": nil, "confidence": nil}, "colorway": "Bred", "processedImageUrl": nil}}},
		status: "active", attempts: 1, asked: 1,
		fields: map[string]field{"colorway": {"Bred", 0.7}},
	},
	{
		name: "missing", answers: []answer{{Body: object{"processedImageUrl": "https://images.example/p.png"}}},
		status: "partial", attempts: 1, asked: 1, url: "https://images.example/p.png",
	},
	{
		name: "long", answers: []answer{{Body: object{"brand": strings.Repeat("é", 300)}}},
		status: "active", attempts: 1, asked: 1,
		fields: map[string]field{"brand": {strings.Repeat("é", 200), 0.8}},
	},

	// Permanent: 200 with an invalid body, and what a repetition cannot mend.
	{name: "no-json", answers: []answer{{Text: "<html>"}}, status: "failed", attempts: 1, asked: 1, reason: "invalid answer"},
	{name: "no-object", answers: []answer{{Body: []int{1}}}, status: "failed", attempts: 1, asked: 1, reason: "invalid answer"},
	{name: "confidence", answers: []answer{{Body: object{"brand": object{"value": "Nike", "confidence": 1.5}}}}, status: "failed", attempts: 1, asked: 1, reason: "confidence"},
	{name: "scheme", answers: []answer{{Body: object{"brand": "Nike", "processedImageUrl": "file:///etc/passwd"}}}, status: "failed", attempts: 1, asked: 1, reason: "processedImageUrl"},
	refused(400), refused(401), refused(403), refused(404), refused(410), refused(413), refused(415), refused(422), refused(418),

	// Transient: each spends an attempt, and three are all.
	recovers("408", answer{Status: 408}), recovers("425", answer{Status: 425}), recovers("500", answer{Status: 500}),
	recovers("reset", answer{Fault: "reset"}), recovers("truncate", answer{Fault: "truncate"}), recovers("hang", answer{Fault: "hang"}),
	{name: "500-always", answers: []answer{{Status: 500, Body: said}}, status: "failed", attempts: 3, asked: 3, reason: "the service's own words"},
	{name: "500-then-422", answers: []answer{{Status: 500}, {Status: 422, Body: said}}, status: "failed", attempts: 2, asked: 2, reason: "the service's own words"},

	// Rate limited and unavailable: the job waits and spends nothing.
	waits("429", answer{Status: 429, Headers: map[string]string{"Retry-After": "1"}}),
	waits("503-retry-after", answer{Status: 503, Headers: map[string]string{"Retry-After": "1"}}),
	waits("502", answer{Status: 502}), waits("503", answer{Status: 503}), waits("504", answer{Status: 504}),

	// A photo on which a service breaks that is well otherwise is no outage: after a first free try each spends an attempt.
	{name: "502-always", answers: []answer{{Status: 502, Body: said}}, status: "failed", attempts: 3, asked: 4, reason: "the service's own words"},
}

var said = object{"error": object{"message": "the service's own words"}}

func refused(status int) contractCase {
	return contractCase{
		name: "refused-" + strconv.Itoa(status), answers: []answer{{Status: status, Body: said}},
		status: "failed", attempts: 1, asked: 1, reason: "the service's own words",
	}
}

func recovers(name string, first answer) contractCase {
	return contractCase{
		name: name, answers: []answer{first, {Body: object{"brand": "Nike"}}},
		status: "active", attempts: 2, asked: 2, fields: map[string]field{"brand": {"Nike", 0.8}},
	}
}

func waits(name string, first answer) contractCase {
	c := recovers(name, first)
	c.attempts = 1
	return c
}
