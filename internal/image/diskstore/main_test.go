package diskstore_test

import (
	"os"
	"testing"

	"loupe/internal/testenv"
)

func TestMain(m *testing.M) {
	if job := os.Getenv(childJob); job != "" {
		child(job, os.Getenv(childDir))
	}
	testenv.Main(m)
}
