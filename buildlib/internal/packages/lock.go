package packages

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Lock is the choice of packages for one image, platform and base.
type Lock struct {
	Image    string    `json:"image"`
	Platform string    `json:"platform"`
	Base     string    `json:"base"`   // as the Project names it
	Digest   string    `json:"digest"` // of the base's manifest for the platform
	Wanted   []string  `json:"wanted"` // as the Project names them
	Packages []Package `json:"packages"`
}

// LockFile is where locks are kept, below the module's folder.
const LockFile = "multimage.lock"

const lockHead = `# The packages that images get, as the target lock (Builder.Lock) chose them. Commit it.
`

// FormatLocks returns the text of a lock file: a line per package, so that a
// difference reads well.
func FormatLocks(locks []Lock) string {
	var b strings.Builder
	b.WriteString(lockHead)
	for _, l := range locks {
		fmt.Fprintf(&b, "\nimage %s %s\n  base %s %s\n  packages %s\n", l.Image, l.Platform, l.Base, l.Digest, strings.Join(l.Wanted, " "))
		for _, p := range l.Packages {
			fmt.Fprintf(&b, "    %s %s %d %s %s\n", p.Name, p.Version, p.Size, p.SHA256, p.URL)
		}
	}
	return b.String()
}

// ParseLocks parses a lock file. An error names the line.
func ParseLocks(text string) ([]Lock, error) {
	var locks []Lock
	number := 0
	for line := range strings.Lines(text) {
		number++
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		var l *Lock
		if len(locks) > 0 {
			l = &locks[len(locks)-1]
		}
		ok := false
		switch {
		case !strings.HasPrefix(line, " ") && words[0] == "image" && len(words) == 3:
			ok = !slices.ContainsFunc(locks, func(o Lock) bool { return o.Image == words[1] && o.Platform == words[2] })
			locks = append(locks, Lock{Image: words[1], Platform: words[2]})
		case l == nil:
		case !strings.HasPrefix(line, "    ") && words[0] == "base" && len(words) == 3 && l.Base == "":
			l.Base, l.Digest, ok = words[1], words[2], true
		case !strings.HasPrefix(line, "    ") && words[0] == "packages" && l.Wanted == nil:
			l.Wanted, ok = words[1:], true
		case strings.HasPrefix(line, "    ") && len(words) == 5:
			p := Package{Name: words[0], Version: words[1], SHA256: words[3], URL: words[4]}
			var err error
			p.Size, err = strconv.ParseInt(words[2], 10, 64)
			u, bad := url.Parse(p.URL)
			ok = err == nil && bad == nil && u.Host != "" && len(p.SHA256) == 64 && strings.Trim(p.SHA256, "0123456789abcdef") == ""
			l.Packages = append(l.Packages, p)
		}
		if !ok {
			return nil, fmt.Errorf("%s:%d: %.80q is not a line of a lock file; restore it", LockFile, number, strings.TrimSpace(line))
		}
	}
	return locks, nil
}
