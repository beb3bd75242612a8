// Package interop runs our server, the real binary, against what others wrote: the official Socket.IO client and an AI
// service in FastAPI.
package interop

import (
	"testing"

	"loupe/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }
