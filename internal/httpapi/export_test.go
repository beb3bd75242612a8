package httpapi

// Patterns returns the routes of a server, for the test that compares them with openapi.yaml.
func Patterns(c Config) []string {
	var patterns []string
	for _, r := range (&api{Config: c}).routes() {
		patterns = append(patterns, r.pattern)
	}
	return patterns
}

// The bounds that tests go up to.
const (
	MaxParts      = maxParts
	MaxPartHeader = maxPartHeader
)
