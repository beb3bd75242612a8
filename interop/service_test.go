package interop

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"testing"

	"loupe/internal/testenv"
)

// aiService is the FastAPI service of analyzer/app.py.
type aiService struct {
	*testenv.Process
	url string
}

// answer is what the service is told to say: a status (0 is 200) with headers and a JSON body or a text, or a fault.
type answer struct {
	Status  int               `json:"status,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    any               `json:"body"`
	Text    string            `json:"text,omitempty"`
	Fault   string            `json:"fault,omitempty"` // "reset", "truncate", "hang"
}

// question is one that the service was asked.
type question struct {
	Category  string
	ImageType string
	Headers   map[string]string
}

var uvicornRunning = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

// startAI starts the service. Port "0" chooses a free one.
func startAI(t *testing.T, port string) aiService {
	t.Helper()
	p := testenv.StartPython(t, "-m", "uvicorn", "--app-dir", "analyzer", "app:app", "--port", port)
	return aiService{p, uvicornRunning.FindString(p.Line(t, "Uvicorn running on"))}
}

// behave tells the service what to answer, by category, and nothing else any more.
func (ai aiService) behave(t *testing.T, script map[string][]answer) {
	t.Helper()
	body, err := json.Marshal(script)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, ai.url+"/_behave", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("_behave: %s", response.Status)
	}
}

// seen returns what the service was asked about photos of a category.
func (ai aiService) seen(t *testing.T, category string) []question {
	t.Helper()
	var all []question
	getJSON(t, ai.url+"/_seen", "", &all)
	return slices.DeleteFunc(all, func(q question) bool { return q.Category != category })
}
