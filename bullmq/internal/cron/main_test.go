package cron

import (
	"testing"

	"loupe/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }
