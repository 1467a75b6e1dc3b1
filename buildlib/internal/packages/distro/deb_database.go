package distro

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// fieldOrder is that of dpkg's status file; fields that are not in it follow.
var fieldOrder = []string{"package", "essential", "protected", "status", "priority", "section", "installed-size", "origin", "maintainer", "bugs",
	"architecture", "multi-arch", "source", "version", "config-version", "replaces", "provides", "depends", "pre-depends", "recommends",
	"suggests", "breaks", "conflicts", "enhances", "conffiles", "description"}

// database writes dpkg's and apt's records of the packages.
func (in *installer) database(wanted []string) error {
	texts := map[string]string{}
	f, err := in.base.Open(statusPath)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := eachStanza(f, func(s stanza) error {
		name := s.get("package")
		if a := s.get("architecture"); a != in.arch && a != "all" && a != "" {
			name += ":" + a
		}
		texts[name] = s.text
		return nil
	}); err != nil {
		return err
	}
	for _, u := range in.order {
		texts[u.name] = u.status(in)
		for file, m := range u.members {
			if file != "control" {
				if err := in.to.Text(infoFolder+u.infoName()+"."+file, m.mode, string(m.data)); err != nil {
					return err
				}
			}
		}
		if err := in.to.Text(infoFolder+u.infoName()+".list", 0o644, strings.Join(u.list, "\n")+"\n"); err != nil {
			return err
		}
		if err := in.interests(u); err != nil {
			return err
		}
	}
	var all strings.Builder
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		all.WriteString(texts[name] + "\n\n")
	}
	if err := in.to.Text("/"+statusPath, 0o644, all.String()); err != nil {
		return err
	}
	in.automatic(wanted)
	for name, text := range in.written {
		if err := in.to.Text(name, 0o644, text); err != nil {
			return err
		}
	}
	return nil
}

const infoFolder = "/var/lib/dpkg/info/"

// status is the package's paragraph of dpkg's status file.
func (u *unpacked) status(in *installer) string {
	fields := map[string]string{"status": "Status: install ok installed"}
	var rest []string
	name := ""
	for line := range strings.Lines(u.control.text) {
		line = strings.TrimRight(line, "\r\n")
		if line[0] == ' ' || line[0] == '\t' {
			fields[name] += "\n" + line
			continue
		}
		name, _, _ = strings.Cut(line, ":")
		name = strings.ToLower(name)
		fields[name] = line
		if !slices.Contains(fieldOrder, name) {
			rest = append(rest, name)
		}
	}
	if len(u.conffiles) > 0 {
		fields["conffiles"] = "Conffiles:"
		for _, c := range u.conffiles {
			fields["conffiles"] += "\n " + c + " " + cmp.Or(u.sums[c], "newconffile")
		}
	}
	// Conffiles that a newer version no longer has stay, and are noted.
	if old := in.installed[u.name]; old != nil {
		sums := conffiles(old)
		for _, c := range slices.Sorted(maps.Keys(sums)) {
			if !slices.Contains(u.conffiles, c) && in.by[c] == nil {
				fields["conffiles"] = cmp.Or(fields["conffiles"], "Conffiles:") + "\n " + c + " " + sums[c] + " obsolete"
			}
		}
	}
	var lines []string
	for _, f := range append(slices.Clone(fieldOrder), rest...) {
		if fields[f] != "" {
			lines = append(lines, fields[f])
		}
	}
	return strings.Join(lines, "\n")
}

// interests adds the package to the lists of the triggers that it is interested in
// (deb-triggers(5)).
func (in *installer) interests(u *unpacked) error {
	const folder = "/var/lib/dpkg/triggers/"
	for line := range strings.Lines(string(u.members["triggers"].data)) {
		words := strings.Fields(line)
		if len(words) != 2 || !strings.HasPrefix(words[0], "interest") {
			continue
		}
		entry, file := u.infoName(), words[1]
		if strings.HasSuffix(words[0], "-noawait") {
			entry += "/noawait"
		}
		if strings.HasPrefix(file, "/") {
			entry, file = file+" "+entry, "File"
		}
		if strings.Contains(file, "/") {
			return fmt.Errorf("package %s: %.80q is not a trigger", u.name, file)
		}
		text := in.text(folder + file)
		if !slices.Contains(strings.Split(text, "\n"), entry) {
			in.written[folder+file] = text + entry + "\n"
		}
	}
	return nil
}

// automatic tells apt which packages were not asked for.
func (in *installer) automatic(wanted []string) {
	const at = "/var/lib/apt/extended_states"
	text := in.text(at)
	for _, name := range slices.Sorted(maps.Keys(in.done)) {
		asked := slices.ContainsFunc(wanted, func(w string) bool { w, _, _ = strings.Cut(w, "="); return w == name })
		if in.installed[name] == nil && !asked {
			text += fmt.Sprintf("Package: %s\nArchitecture: %s\nAuto-Installed: 1\n\n", name, in.arch)
		}
	}
	in.written[at] = text
}
