package interop

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"loupe/internal/asset/mongostore/mongotest"
	"loupe/internal/image/cloudinarystore/cloudinarytest"
	"loupe/internal/testenv"
)

// With all services set, what `make run` does still works, and says what plays which role.
func TestDemoOnServices(t *testing.T) {
	t.Parallel()
	testenv.Need(t, testenv.Redis)
	cloudinaryURL, cloud := cloudinarytest.Start(t)
	cmd := exec.Command(testenv.BuildLoupe(t), "demo")
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(), "PORT=0", "LOUPE_DATA_DIR=" + t.TempDir(),
		"REDIS_URL=" + testenv.StartRedis(t), "MONGODB_URI=" + mongotest.Database(t, mongotest.Start(t)), "CLOUDINARY_URL=" + cloudinaryURL,
	}
	demo := testenv.Start(t, cmd)
	demo.Line(t, "Ctrl-C")
	demo.Stop(t)
	printed := demo.Output()
	t.Log("\n" + printed)

	for _, want := range []string{
		`assets    mongodb     127\.0\.0\.1:\d+/loupe_test_\w+ +MONGODB_URI is set`,
		`images    cloudinary  \S+ +CLOUDINARY_URL is set`,
		`queue     redis       127\.0\.0\.1:\d+ \(standalone\) +REDIS_URL is set`,
		`rooms     redis       127\.0\.0\.1:\d+ \(standalone\) +REDIS_URL is set`,
		`analyzer  builtin     in this process +AI_SERVICE_URL is not set`,
		`sneaker\.jpg  active, colorway .*, ` + cloud.Address + `/\S+`,
		`camera\.jpg   active, colorway .*, ` + cloud.Address + `/\S+`,
		`sneaker\.jpg  asset_processed {"event":"asset_processed".*`,
		`camera\.jpg   asset_processed {"event":"asset_processed".*`,
	} {
		if !regexp.MustCompile("(?m)^" + want + "$").MatchString(printed) {
			t.Errorf("no %q", want)
		}
	}
	if strings.Contains(printed, cloud.Secret) {
		t.Error("it prints the secret of Cloudinary")
	}
}
