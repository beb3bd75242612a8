package httpapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"loupe"
	"loupe/internal/httpapi"
	"loupe/internal/testenv"
)

// contract holds openapi.yaml, and what of it the tests of this package have seen. Every answer that a test gets passes
// through check; after all tests everything that the document promises must have been seen.
var contract = newContract()

type contractDoc struct {
	doc    *openapi3.T
	router routers.Router

	mu      sync.Mutex
	answers map[string]bool           // "GET /api/assets 200"
	fields  map[*openapi3.Schema]seen // members of objects in answers
}

type seen map[string]bool

func newContract() *contractDoc {
	doc, err := openapi3.NewLoader().LoadFromData(loupe.OpenAPI)
	if err != nil {
		panic(err)
	}
	doc.Servers = nil
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		panic(err)
	}
	openapi3filter.RegisterBodyDecoder("text/html", openapi3filter.FileBodyDecoder)
	openapi3filter.RegisterBodyDecoder("application/yaml", openapi3filter.FileBodyDecoder)
	for _, mimeType := range []string{"image/jpeg", "image/png", "image/webp", "image/gif"} {
		openapi3filter.RegisterBodyDecoder(mimeType, openapi3filter.FileBodyDecoder)
	}
	return &contractDoc{doc: doc, router: router, answers: map[string]bool{}, fields: map[*openapi3.Schema]seen{}}
}

// check compares one answer with the document.
func (c *contractDoc) check(t *testing.T, r *http.Request, res *http.Response, body []byte) {
	t.Helper()
	if r.Method == http.MethodOptions {
		return // a preflight is between browser and server
	}
	route, params, err := c.router.FindRoute(r)
	if err == nil && anyRoute[res.StatusCode] && route.Operation.Responses.Status(res.StatusCode) == nil {
		return
	}
	if err != nil {
		if res.StatusCode != http.StatusNotFound && res.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s %s answered %d, but openapi.yaml does not know it", r.Method, r.URL.Path, res.StatusCode)
		}
		return
	}
	err = openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
		Status:                 res.StatusCode,
		Header:                 res.Header,
		Body:                   io.NopCloser(bytes.NewReader(body)),
		Options:                &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
	if err != nil {
		t.Errorf("%s %s answered %d, not as openapi.yaml has it: %v\n%s", r.Method, r.URL.Path, res.StatusCode, err, body)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[fmt.Sprintf("%s %s %d", r.Method, route.Path, res.StatusCode)] = true
	var value any
	if schema := jsonSchema(route.Operation.Responses.Status(res.StatusCode)); schema != nil && json.Unmarshal(body, &value) == nil {
		c.see(schema, value)
	}
}

// anyRoute are the refusals that the document announces once, for all routes.
var anyRoute = map[int]bool{
	http.StatusForbidden: true, http.StatusMethodNotAllowed: true, http.StatusInternalServerError: true, http.StatusServiceUnavailable: true,
}

func jsonSchema(r *openapi3.ResponseRef) *openapi3.Schema {
	if r == nil || r.Value == nil {
		return nil
	}
	if content := r.Value.Content.Get("application/json"); content != nil && content.Schema != nil {
		return content.Schema.Value
	}
	return nil
}

// see notes which members of which objects an answer had.
func (c *contractDoc) see(schema *openapi3.Schema, value any) {
	switch value := value.(type) {
	case map[string]any:
		if c.fields[schema] == nil {
			c.fields[schema] = seen{}
		}
		for name, member := range value {
			c.fields[schema][name] = true
			if property := schema.Properties[name]; property != nil {
				c.see(property.Value, member)
			}
		}
	case []any:
		for _, item := range value {
			if schema.Items != nil {
				c.see(schema.Items.Value, item)
			}
		}
	}
}

// unseen lists what the document promises and no test has seen. Refusals are promised by many routes and made in one
// place, so of each route one success is asked for, and of each object every member.
func (c *contractDoc) unseen() []string {
	var missing []string
	for path, item := range c.doc.Paths.Map() {
		for method, operation := range item.Operations() {
			for status, response := range operation.Responses.Map() {
				answer := method + " " + path + " " + status
				if status[0] == '2' && !c.answers[answer] {
					missing = append(missing, "no test has seen "+answer)
				}
				if schema := jsonSchema(response); schema != nil {
					missing = append(missing, c.unseenFields(answer, schema)...)
				}
			}
		}
	}
	slices.Sort(missing)
	return slices.Compact(missing)
}

func (c *contractDoc) unseenFields(where string, schema *openapi3.Schema) []string {
	var missing []string
	for name, property := range schema.Properties {
		if !c.fields[schema][name] && !strings.HasSuffix(where, " 404") {
			missing = append(missing, "no test has seen the member "+name+" of "+where)
		}
		missing = append(missing, c.unseenFields(where+"."+name, property.Value)...)
	}
	if schema.Items != nil {
		missing = append(missing, c.unseenFields(where+"[]", schema.Items.Value)...)
	}
	return missing
}

// TestMain checks at the end, if all tests ran and passed, that they have seen all of the contract.
func TestMain(m *testing.M) {
	testenv.MainThen(m, func() error {
		if slices.ContainsFunc(os.Args, func(arg string) bool {
			return strings.HasPrefix(arg, "-test.run=") || strings.HasPrefix(arg, "-test.skip=") || strings.HasPrefix(arg, "-test.fuzz") || arg == "-test.list"
		}) {
			return nil
		}
		if missing := contract.unseen(); len(missing) > 0 {
			return fmt.Errorf("openapi.yaml promises more than the server was seen to do:\n%s", strings.Join(missing, "\n"))
		}
		return nil
	})
}

// notDescribed are the routes that openapi.yaml leaves out, each with its reason.
var notDescribed = map[string]string{
	"/socket.io/": "Socket.IO's own protocol",
	"GET /app/":   "parts of the web app",

	"GET /assets/{id}": "the page of GET /",
	"GET /console":     "the page of GET /",
}

func TestEveryRouteIsDescribed(t *testing.T) {
	t.Parallel()
	described := map[string]bool{}
	for path, item := range contract.doc.Paths.Map() {
		for method := range item.Operations() {
			described[method+" "+path] = true
		}
	}
	for _, pattern := range httpapi.Patterns(newServer(t, nil).config) {
		if notDescribed[pattern] != "" {
			continue
		}
		route := strings.Replace(pattern, "{$}", "", 1)
		if !described[route] {
			t.Errorf("openapi.yaml lacks %s", route)
		}
		delete(described, route)
	}
	for route := range described {
		t.Errorf("openapi.yaml has %s, the server has not", route)
	}
}
