package sqlitedb

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"loupe/internal/testenv"
)

// The driver is Go made from C against one version of its C library, and is only sound with that version: its package
// documentation asks for the same one in go.mod. An update of something else must not move it.
func TestLibcIsTheDriversOwn(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.GoMod}}", "modernc.org/sqlite").Output()
	if err != nil {
		t.Fatal(err)
	}
	ours, drivers := libcIn(t, filepath.Join(testenv.Root(), "go.mod")), libcIn(t, strings.TrimSpace(string(out)))
	if ours != drivers {
		t.Errorf("go.mod has modernc.org/libc %s, modernc.org/sqlite wants %s", ours, drivers)
	}
}

func libcIn(t *testing.T, goMod string) string {
	t.Helper()
	content, err := os.ReadFile(goMod)
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^\s*(?:require )?modernc\.org/libc (\S+)`).FindSubmatch(content)
	if version == nil {
		t.Fatalf("no modernc.org/libc in %s", goMod)
	}
	return string(version[1])
}
