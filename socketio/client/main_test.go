package client_test

import (
	"testing"

	"loupe/socketio/internal/wiretest"
)

func TestMain(m *testing.M) { wiretest.Main(m) }
