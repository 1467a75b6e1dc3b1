package distro

import (
	"os/exec"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// dpkg itself is asked about every pair.
func TestCompare(t *testing.T) {
	testenv.Require(t, "dpkg-deb")
	versions := []string{"1.0", "1.0-1", "1.0~rc1", "1.0~", "1.0+b1", "1:0.9", "0:1.0", "1.0a", "1.00", "1.10", "1.9", "1.0-1~deb12u1", "1.0-1+deb12u1", "1.0.1", "2", "1.0-1.1", "1.0-1a", "7.88.1-10+deb12u12", "7.88.1-10"}
	for _, a := range versions {
		for _, b := range versions {
			c := compareDeb(a, b)
			for op, want := range map[string]bool{"lt": c < 0, "eq": c == 0, "gt": c > 0} {
				if got := exec.Command("dpkg", "--compare-versions", a, op, b).Run() == nil; got != want {
					t.Errorf("%s %s %s: dpkg says %t", a, op, b, got)
				}
			}
		}
	}
}
