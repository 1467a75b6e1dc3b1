package packages

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// OpenSSL itself says what the links of this machine's certificates are called.
func TestSubjectHash(t *testing.T) {
	testenv.Slow(t) // a process for each certificate
	files, _ := filepath.Glob("/usr/share/ca-certificates/mozilla/*.crt")
	if _, err := exec.LookPath("openssl"); err != nil || len(files) == 0 {
		testenv.Missing(t, "openssl", "openssl or certificates of Debian's ca-certificates aren't here")
	}
	for _, f := range files {
		out, err := exec.Command("openssl", "x509", "-noout", "-subject_hash", "-in", f).Output()
		if err != nil {
			t.Fatal(err)
		}
		got, ok := subjectHash(read(t, f))
		if want := strings.TrimSpace(string(out)); !ok || got != want {
			t.Errorf("%s: %s, openssl says %s", filepath.Base(f), got, want)
		}
	}
}
