package buildlib

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// String formats the plan for people: what each call of go builds, and what each image
// is made of.
func (p *Plan) String() string {
	var b strings.Builder
	line := func(name, value string) { printLine(&b, "", name, value) }
	line("version", p.Version)
	commit := p.Revision
	if commit != "" && p.Dirty {
		commit += ", with uncommitted changes"
	}
	line("commit", commit)
	line("epoch", p.Epoch.Format(time.RFC3339))
	line("go", p.Go.Version)
	for _, v := range []struct{ name, value string }{
		{"GOFLAGS", p.Go.Flags}, {"GOEXPERIMENT", p.Go.Experiment}, {"GOFIPS140", p.Go.FIPS140},
	} {
		if v.value != "off" {
			line("  "+v.name, v.value)
		}
	}
	output := shown(p.Dir, p.Output)
	line("output", output)
	line("build cache", p.BuildCache)
	line("compression", p.Compression)
	line("evidence", cmp.Or(strings.Join(p.Evidence, ", "), "none"))
	line("signed by", shown(p.Dir, p.Sign))
	for _, d := range p.Dockerfiles {
		line("base", fmt.Sprintf("%s for %s, kept in %s", d.Base, join(d.Platforms), cmp.Or(p.Bases, filepath.Join(output, ".multimage", "bases"))))
	}
	for _, f := range p.Render {
		line("render", fmt.Sprintf("%s from %s", shown(p.Dir, f.Output), f.Template))
	}
	for _, c := range p.Compiles {
		fmt.Fprintf(&b, "\n%s\n  go build %s\n", c.Platform, shellWords(c.Args))
		if c.Module != "" {
			fmt.Fprintf(&b, "  in %s\n", c.Module)
		}
		if env := notable(c.Env); len(env) > 0 {
			fmt.Fprintf(&b, "  with %s\n", shellWords(env))
		}
		for _, m := range c.Mains {
			fmt.Fprintf(&b, "    %s\n      from %s\n", m.Output, m.Package)
		}
	}
	if len(p.Ignored) > 0 {
		fmt.Fprintf(&b, "\nfiles are copied without %s\n", strings.Join(p.Ignored, ", "))
	}
	for _, ip := range p.ImagePlans {
		b.WriteString("\n")
		_, withheld := p.forRegistries(ip.allTags(), p.Dirty)
		ip.print(&b, withheld)
	}
	for _, s := range p.Skipped {
		fmt.Fprintf(&b, "\nskipped: %s (not built for the requested platforms)", s)
	}
	if len(p.Skipped) > 0 {
		b.WriteString("\n")
	}
	for _, a := range p.Absent {
		fmt.Fprintf(&b, "\nwarning: %s: %q is not there, and images can't be made without it\n", a.Field, a.Source)
	}
	return b.String()
}

// printLine prints a name and its value, unless that is empty.
func printLine(b *strings.Builder, indent, name, value string) {
	if value != "" {
		fmt.Fprintf(b, "%s%-11s %s\n", indent, name, value)
	}
}

// shown is a path for people: relative to dir, if that is shorter.
func shown(dir, path string) string {
	if rel, err := filepath.Rel(dir, path); err == nil && len(rel) < len(path) {
		return rel
	}
	return path
}

// notable drops variables of every call, and those with default values.
func notable(env []string) []string {
	var kept []string
	for _, e := range env {
		switch e {
		case "CGO_ENABLED=0", "GO386=sse2", "GOAMD64=v1", "GOARM=7", "GOARM64=v8.0", "GOMIPS=hardfloat",
			"GOMIPS64=hardfloat", "GOPPC64=power8", "GORISCV64=rva20u64":
			continue
		}
		if !strings.HasPrefix(e, "GOOS=") && !strings.HasPrefix(e, "GOARCH=") {
			kept = append(kept, e)
		}
	}
	return kept
}

func (ip ImagePlan) print(b *strings.Builder, withheld []string) {
	fmt.Fprintf(b, "image %s\n", ip.Name)
	line := func(name, value string) { printLine(b, "  ", name, value) }
	line("tags", strings.Join(ip.Tags, ", "))
	if len(ip.allTags()) == 0 && len(ip.EmptyTags) > 0 {
		line("tags", "none: "+strings.Join(ip.EmptyTags, ", ")+" renders empty")
	}
	if len(ip.Repositories) > 0 && len(withheld) > 0 {
		line("not pushed", strings.Join(withheld, ", ")+", because of the uncommitted changes")
	}
	for _, repo := range ip.Repositories {
		line("push to", repo)
	}
	if len(ip.Repositories) == 0 {
		line("push to", "nowhere: tagged in the local layout only")
	}
	// Most platforms are equal but for the base. What is equal is printed once.
	var last string
	for _, pp := range ip.Platforms {
		text := pp.print()
		if text == last {
			text = "    as above\n"
		} else {
			last = text
		}
		tagged := ""
		if len(pp.Tags) > 0 {
			tagged = ", tagged " + strings.Join(pp.Tags, ", ")
		}
		fmt.Fprintf(b, "  %s on %s%s\n%s", pp.Platform, pp.Base, tagged, text)
	}
}

func (pp PlatformPlan) print() string {
	var b strings.Builder
	line := func(name, value string) { printLine(&b, "    ", name, value) }
	line("packages", strings.Join(pp.Packages, ", "))
	line("no scripts", strings.Join(pp.IgnoreScripts, ", "))
	if pp.Lock != nil {
		for _, l := range pp.Lock.Packages {
			line("locked", l.Name+" "+l.Version)
		}
	} else if len(pp.Packages) > 0 {
		line("locked", "none: run Builder.Lock")
	}
	for _, pb := range pp.Binaries {
		line("binary", pp.Platform.nativePath(pb.Path)+attributes(pb.Mode, pb.UID, pb.GID, pb.Capabilities))
	}
	for _, f := range pp.Files {
		f.Path = pp.Platform.nativePath(f.Path)
		line("file", f.print())
	}
	user := pp.User.print()
	if user == "" && pp.Base != scratch {
		user = "the base's, or root if it names none"
		if isWindows(pp.Platform) {
			user = "the base's, or " + containerUser + " if it names none"
		}
	}
	line("user", user)
	line("workdir", pp.Config.WorkingDir)
	switch {
	case pp.BaseEntrypoint:
		line("entrypoint", "the base's")
	case len(pp.Config.Entrypoint) == 0:
		line("entrypoint", "none")
	default:
		line("entrypoint", shellWords(pp.Config.Entrypoint))
	}
	if pp.BaseCmd && pp.Base != scratch {
		line("cmd", "the base's")
	}
	line("cmd", shellWords(pp.Config.Cmd))
	line("env", shellWords(pp.Config.Env))
	line("ports", printPorts(pp.Config.ExposedPorts))
	line("volumes", strings.Join(slices.Sorted(maps.Keys(pp.Config.Volumes)), ", "))
	line("stop signal", pp.Config.StopSignal)
	if pp.Smoke != nil {
		line("smoke", strings.TrimSpace("entrypoint "+shellWords(pp.Smoke)))
	}
	if check := pp.Config.Healthcheck; check != nil {
		times := ""
		for _, t := range []struct {
			name string
			time time.Duration
		}{
			{"interval", check.Interval}, {"timeout", check.Timeout}, {"start period", check.StartPeriod}, {"start interval", pp.StartInterval},
		} {
			if t.time != 0 {
				times += fmt.Sprintf(", %s %s", t.name, t.time)
			}
		}
		if check.Retries != 0 {
			times += fmt.Sprintf(", retries %d", check.Retries)
		}
		line("healthcheck", shellWords(check.Test)+times)
	}
	var adds []string
	if pp.CACerts {
		adds = append(adds, "CA roots")
	}
	if pp.TZData {
		adds = append(adds, "time zones")
	}
	line("adds", strings.Join(adds, ", "))
	for _, key := range slices.Sorted(maps.Keys(pp.Config.Labels)) {
		if value := pp.Config.Labels[key]; value != "" {
			line("label", key+"="+value)
		} else {
			line("no label", key)
		}
	}
	return b.String()
}

// printPorts formats ports as in a Project, FROM[-TO][/PROTOCOL], without /tcp.
func printPorts(ports map[string]struct{}) string {
	numbers := map[string][]int{} // by protocol
	for port := range ports {
		number, protocol, _ := strings.Cut(port, "/")
		n, _ := strconv.Atoi(number)
		numbers[protocol] = append(numbers[protocol], n)
	}
	var all []string
	for _, protocol := range slices.Sorted(maps.Keys(numbers)) {
		list := numbers[protocol]
		slices.Sort(list)
		for len(list) > 0 {
			last := 0
			for last+1 < len(list) && list[last+1] == list[last]+1 {
				last++
			}
			text := strconv.Itoa(list[0])
			if last > 0 {
				text += "-" + strconv.Itoa(list[last])
			}
			all, list = append(all, strings.TrimSuffix(text+"/"+protocol, "/tcp")), list[last+1:]
		}
	}
	return strings.Join(all, ", ")
}

func (u User) print() string {
	home := ""
	if u.Home != "" {
		home = ", home " + u.Home
	}
	switch numbers := fmt.Sprintf("%d:%d", u.UID, cmp.Or(u.GID, u.UID)); {
	case u == User{}:
		return ""
	case u.Name == "":
		return numbers + home
	case u.UID == 0 && u.GID == 0:
		return u.Name + home
	case u.UID == 0:
		return fmt.Sprintf("%s (group %d)%s", u.Name, u.GID, home)
	default:
		return fmt.Sprintf("%s (%s)%s", u.Name, numbers, home)
	}
}

// attributes formats the attributes of a file in an image that aren't defaults.
func attributes(mode fs.FileMode, uid, gid int, capabilities []string) string {
	text := ""
	if mode != 0 {
		text += fmt.Sprintf(", mode %04o", mode)
	}
	if uid != 0 || gid != 0 {
		text += fmt.Sprintf(", owner %d:%d", uid, gid)
	}
	if len(capabilities) > 0 {
		text += ", " + strings.Join(capabilities, " ")
	}
	return text
}

// shellWords quotes words for a shell.
func shellWords(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = w
		if w == "" || strings.ContainsAny(w, " \t\n'\"\\$`*?[](){}<>|&;#~!") {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		if strings.ContainsFunc(w, func(c rune) bool { return c < ' ' }) {
			quoted[i] = strconv.Quote(w)
		}
	}
	return strings.Join(quoted, " ")
}

func (f File) print() string {
	more := attributes(f.Mode, f.UID, f.GID, f.Capabilities)
	if f.Source == "" {
		return strings.TrimSuffix(f.Path, "/") + "/" + more
	}
	return f.Path + " from " + f.Source + more
}
