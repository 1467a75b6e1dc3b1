package distro

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// choice is one of the files that a name may lead to.
type choice struct {
	path     string
	priority int
	slaves   map[string]string // by their name
}

// alternatives is what update-alternatives knows about a name, in its file in
// /var/lib/dpkg/alternatives.
type alternatives struct {
	manual  bool
	link    string
	slaves  []string          // their names
	links   map[string]string // of the slaves
	choices []choice
}

const alternativesFolder = "/var/lib/dpkg/alternatives/"

// alternative does what update-alternatives(1) would. It returns false if that
// isn't known.
func (in *installer) alternative(args []string) bool {
	args = slices.DeleteFunc(args, func(a string) bool { return a == "--quiet" || a == "--force" })
	if len(args) < 5 || args[0] != "--install" {
		return len(args) > 0 && slices.Contains([]string{"--remove", "--remove-all", "--auto"}, args[0])
	}
	link, name, c := args[1], args[2], choice{path: args[3], slaves: map[string]string{}}
	priority, err := strconv.Atoi(args[4])
	if err != nil || strings.Contains(name, "/") || !path.IsAbs(link) || !path.IsAbs(c.path) {
		return false
	}
	c.priority = priority
	a := in.readAlternatives(name)
	a.link = link
	for rest := args[5:]; len(rest) > 0; rest = rest[4:] {
		if len(rest) < 4 || rest[0] != "--slave" || strings.Contains(rest[2], "/") || !path.IsAbs(rest[1]) {
			return false
		}
		if _, ok := a.links[rest[2]]; !ok {
			a.slaves = append(a.slaves, rest[2])
		}
		a.links[rest[2]], c.slaves[rest[2]] = rest[1], rest[3]
	}
	a.choices = slices.DeleteFunc(a.choices, func(o choice) bool { return o.path == c.path })
	a.choices = append(a.choices, c)
	slices.SortFunc(a.choices, func(x, y choice) int { return strings.Compare(x.path, y.path) })
	in.written[alternativesFolder+name] = a.String()
	if a.manual {
		return true
	}
	best := slices.MaxFunc(a.choices, func(x, y choice) int { return x.priority - y.priority })
	ok := in.linkAlternative(name, link, best.path)
	for _, slave := range a.slaves {
		// As with update-alternatives, a manual page that was left out has
		// no link.
		if _, there := in.to.Get(best.slaves[slave]); best.slaves[slave] != "" && there {
			ok = ok && in.linkAlternative(slave, a.links[slave], best.slaves[slave])
		}
	}
	return ok
}

// linkAlternative makes the links that lead from link, by way of /etc/alternatives, to the
// file that was chosen.
func (in *installer) linkAlternative(name, link, file string) bool {
	const folder = "/etc/alternatives/"
	return in.to.Symlink(link, folder+name) == nil && in.to.Symlink(folder+name, file) == nil
}

// readAlternatives reads the alternatives of a name.
func (in *installer) readAlternatives(name string) *alternatives {
	a := &alternatives{links: map[string]string{}}
	head, body, _ := strings.Cut(in.text(alternativesFolder+name), "\n\n")
	lines := strings.Split(head, "\n")
	a.manual = lines[0] == "manual"
	for pair := range slices.Chunk(lines[min(2, len(lines)):], 2) {
		if len(pair) == 2 {
			a.slaves = append(a.slaves, pair[0])
			a.links[pair[0]] = pair[1]
		}
	}
	for chunk := range slices.Chunk(strings.Split(strings.TrimSuffix(body, "\n\n"), "\n"), 2+len(a.slaves)) {
		if len(chunk) < 2+len(a.slaves) || chunk[0] == "" {
			break
		}
		c := choice{path: chunk[0], slaves: map[string]string{}}
		c.priority, _ = strconv.Atoi(chunk[1])
		for i, s := range a.slaves {
			c.slaves[s] = chunk[2+i]
		}
		a.choices = append(a.choices, c)
	}
	return a
}

// String is the form of the file.
func (a *alternatives) String() string {
	var b strings.Builder
	mode := "auto"
	if a.manual {
		mode = "manual"
	}
	fmt.Fprintf(&b, "%s\n%s\n", mode, a.link)
	for _, s := range a.slaves {
		fmt.Fprintf(&b, "%s\n%s\n", s, a.links[s])
	}
	b.WriteByte('\n')
	for _, c := range a.choices {
		fmt.Fprintf(&b, "%s\n%d\n", c.path, c.priority)
		for _, s := range a.slaves {
			b.WriteString(c.slaves[s] + "\n")
		}
	}
	b.WriteByte('\n')
	return b.String()
}
