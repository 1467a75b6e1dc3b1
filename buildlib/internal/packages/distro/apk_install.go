package distro

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha1" //nolint:gosec // how apk names packages and files
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/packages"
)

// apkInstaller unpacks packages onto a base.
type apkInstaller struct {
	*apkSystem
	to       *packages.Contents
	accounts *packages.Accounts
	owners   map[string]string // the package of each of the base's files
	sums     map[string]string // of the base's files, as in its database
	by       map[string]*unpackedApk
	done     map[string]*unpackedApk
	order    []*unpackedApk
}

type unpackedApk struct {
	*pkg
	*apkFile
	replaces []group
	entries  map[string]packages.Entry // by path
	sums     map[string]string
}

// Install implements Manager.
func (s *apkSystem) Install(ctx context.Context, client *packages.Client, list []packages.Package, wanted, ignore []string, to *packages.Contents) error {
	in := &apkInstaller{apkSystem: s, to: to, owners: map[string]string{}, sums: map[string]string{}, by: map[string]*unpackedApk{}, done: map[string]*unpackedApk{}}
	var err error
	if in.accounts, err = packages.ReadAccounts(s.base); err != nil {
		return fmt.Errorf("base: %w", err)
	}
	for _, p := range s.installed {
		dir, file := "", ""
		for line := range strings.Lines(p.text) {
			switch line = strings.TrimSuffix(line, "\n"); line[:2] {
			case "F:":
				dir = "/" + line[2:]
			case "R:":
				file = path.Join(dir, line[2:])
				in.owners[file] = p.name
			case "Z:":
				in.sums[file] = line[2:]
			}
		}
	}
	for _, p := range list {
		if err := in.unpack(ctx, client, p); err != nil {
			return fmt.Errorf("package %s: %w", p, err)
		}
	}
	for p, owner := range in.owners {
		if in.done[owner] != nil && in.by[p] == nil && !strings.HasPrefix(p, "/etc/") {
			if err := to.Add(packages.Entry{Path: p, Type: packages.Removed}, nil); err != nil {
				return err
			}
		}
	}
	if err := in.scripts(ignore); err != nil {
		return err
	}
	if err := in.accounts.Write(to); err != nil {
		return err
	}
	return in.database(wanted)
}

func (in *apkInstaller) unpack(ctx context.Context, client *packages.Client, p packages.Package) error {
	blob, err := client.Open(ctx, p.URL, p.SHA256, p.Size)
	if err != nil {
		return err
	}
	defer blob.Close()
	data, err := io.ReadAll(&limited{blob, maxApk})
	if err != nil {
		return err
	}
	a, err := splitApk(data)
	if err != nil {
		return err
	}
	u := &unpackedApk{apkFile: a, entries: map[string]packages.Entry{}, sums: map[string]string{}}
	if u.pkg, err = newApk([]string{"P:" + a.get("pkgname"), "V:" + a.get("pkgver"), "A:" + a.get("arch")}); err != nil {
		return err
	}
	if u.name != p.Name || u.version != p.Version || u.arch != in.arch && u.arch != "noarch" {
		return fmt.Errorf("it is %s %s for %s", u.name, u.version, u.arch)
	}
	if u.replaces, _, err = parseApkNeeds(a.get("replaces")); err != nil {
		return err
	}
	in.done[u.name], in.order = u, append(in.order, u)
	z, err := gzip.NewReader(bytes.NewReader(a.data))
	if err != nil {
		return err
	}
	return packages.EachEntry(ctx, z, func(e packages.Entry, r io.Reader) error { return in.add(u, e, r) })
}

func (in *apkInstaller) add(u *unpackedApk, e packages.Entry, r io.Reader) error {
	if e.Path == "/" {
		return nil
	}
	name := e.Path
	if e.Type == tar.TypeDir {
		u.entries[name] = e
		in.to.Default(e)
		return nil
	}
	if t, ok := u.entries[e.Link]; e.Type == tar.TypeLink && (!ok || t.Type != tar.TypeReg) {
		return fmt.Errorf("%s: is a hard link to %s, which is not an earlier file of the package", e.Path, e.Link)
	}
	var other *pkg
	var others []group
	if o := in.by[name]; o != nil {
		other, others = o.pkg, o.replaces
	} else if owner := in.owners[name]; owner != "" && owner != u.name && in.done[owner] == nil {
		other = in.installed[owner]
	}
	if other != nil {
		replaced := func(list []group, p *pkg) bool {
			return slices.ContainsFunc(list, func(g group) bool { return g.by(p) })
		}
		switch {
		case replaced(u.replaces, other):
		case replaced(others, u.pkg):
			return nil
		default:
			return fmt.Errorf("%s: is in package %s, too", name, other)
		}
	}
	u.entries[name] = e
	in.by[name] = u
	switch e.Type {
	case tar.TypeLink:
		u.sums[name] = u.sums[e.Link]
	case tar.TypeSymlink:
		u.sums[name] = q1(sha1.Sum([]byte(e.Link))) //nolint:gosec // see above
	default:
		sum := sha1.New() //nolint:gosec // see above
		r = io.TeeReader(r, sum)
		defer func() { u.sums[name] = q1([sha1.Size]byte(sum.Sum(nil))) }()
		if strings.HasPrefix(name, "/etc/") { // a file that was changed in the base stays
			data, err := io.ReadAll(&limited{r, maxConffile})
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			r = bytes.NewReader(data)
			if have, err := fs.ReadFile(in.base, name[1:]); err == nil {
				was := q1(sha1.Sum(have)) //nolint:gosec // see above
				if is := q1([sha1.Size]byte(sum.Sum(nil))); was == is {
					return nil
				} else if was != in.sums[name] {
					e.Path += ".apk-new"
				}
			}
		}
	}
	return in.to.Add(e, r)
}

// database writes apk's records of the packages.
func (in *apkInstaller) database(wanted []string) error {
	var all strings.Builder
	for _, name := range slices.Sorted(maps.Keys(in.installed)) {
		if in.done[name] == nil {
			all.WriteString(in.installed[name].text + "\n\n")
		}
	}
	triggers, _ := fs.ReadFile(in.base, in.folder+"/triggers")
	for _, u := range in.order {
		all.WriteString(u.entry() + "\n\n")
		if t := u.get("triggers"); t != "" {
			triggers = append(triggers, u.sum+" "+t+"\n"...)
		}
	}
	if err := in.to.Text("/"+in.folder+"/installed", 0o644, all.String()); err != nil {
		return err
	}
	if err := in.to.Text("/"+in.folder+"/triggers", 0o644, string(triggers)); err != nil {
		return err
	}
	world, err := readLines(in.base, "etc/apk/world")
	if err != nil {
		return err
	}
	world = append(world, wanted...)
	slices.Sort(world)
	if err := in.to.Text("/etc/apk/world", 0o644, strings.Join(slices.Compact(world), "\n")+"\n"); err != nil {
		return err
	}
	return in.scriptsArchive()
}

// entry is the package's entry in the database.
func (u *unpackedApk) entry() string {
	lines := []string{"C:" + u.sum, "P:" + u.name, "V:" + u.version, "A:" + u.get("arch"), fmt.Sprintf("S:%d", u.length)}
	for _, f := range []string{"I size", "T pkgdesc", "U url", "L license", "o origin", "m maintainer", "t builddate", "c commit", "k provider_priority",
		"D depend", "p provides", "i install_if", "r replaces", "q replaces_priority"} {
		letter, key, _ := strings.Cut(f, " ")
		if value := u.get(key); value != "" {
			lines = append(lines, letter+":"+value)
		}
	}
	folders := map[string][]string{}
	for p, e := range u.entries {
		if e.Type == tar.TypeDir {
			folders[p] = append(folders[p], "")
		} else {
			folders[path.Dir(p)] = append(folders[path.Dir(p)], path.Base(p))
		}
	}
	owner := func(letter string, e packages.Entry, usual int64) {
		if e.UID != 0 || e.GID != 0 || e.Mode != usual {
			lines = append(lines, fmt.Sprintf("%s:%d:%d:%o", letter, e.UID, e.GID, e.Mode))
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(folders)) {
		lines = append(lines, "F:"+strings.TrimPrefix(dir, "/"))
		if e, ok := u.entries[dir]; ok {
			owner("M", e, 0o755)
		}
		names := folders[dir]
		slices.Sort(names)
		for _, name := range names {
			if name == "" {
				continue
			}
			p := path.Join(dir, name)
			lines = append(lines, "R:"+name)
			owner("a", u.entries[p], 0o644)
			lines = append(lines, "Z:"+u.sums[p])
		}
	}
	return strings.Join(lines, "\n")
}

// scriptsArchive adds the packages' scripts to those that apk keeps.
func (in *apkInstaller) scriptsArchive() error {
	name := in.folder + "/scripts.tar"
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	was, err := fs.ReadFile(in.base, name)
	if errors.Is(err, fs.ErrNotExist) {
		if was, err = fs.ReadFile(in.base, name+".gz"); err == nil {
			name += ".gz"
			z, bad := gzip.NewReader(bytes.NewReader(was))
			if bad != nil {
				return fmt.Errorf("base: /%s: %w", name, bad)
			}
			if was, err = io.ReadAll(&limited{z, maxIndex}); err != nil {
				return fmt.Errorf("base: /%s: %w", name, err)
			}
		}
	}
	for t := tar.NewReader(bytes.NewReader(was)); err == nil; {
		h, bad := t.Next()
		if errors.Is(bad, io.EOF) {
			break
		}
		if bad != nil {
			return fmt.Errorf("base: /%s: %w", name, bad)
		}
		if bad = w.WriteHeader(h); bad == nil {
			_, bad = io.Copy(w, t)
		}
		if bad != nil {
			return bad
		}
	}
	for _, u := range in.order {
		for _, script := range slices.Sorted(maps.Keys(u.scripts)) {
			text := u.scripts[script]
			h := &tar.Header{Name: u.name + "-" + u.version + "." + u.sum + "." + script, Mode: 0o755, Size: int64(len(text)), Typeflag: tar.TypeReg}
			if err := w.WriteHeader(h); err != nil {
				return err
			}
			if _, err := w.Write(text); err != nil {
				return err
			}
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	if !strings.HasSuffix(name, ".gz") {
		return in.to.Text("/"+name, 0o644, out.String())
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(out.Bytes()); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return in.to.Text("/"+name, 0o644, packed.String())
}

// scripts does what the packages' scripts would.
func (in *apkInstaller) scripts(ignore []string) error {
	for _, u := range in.order {
		if slices.Contains(ignore, u.name) {
			continue
		}
		run := []string{"pre-install", "post-install", "trigger"}
		if in.installed[u.name] != nil {
			run = []string{"pre-upgrade", "post-upgrade", "trigger"}
		}
		for _, script := range run {
			sh := packages.Shell{Args: []string{u.version}, Do: in.do}
			if err := sh.Check(u.String(), script, string(u.scripts[script])); err != nil {
				return err
			}
		}
	}
	// The base's own trigger, of certificates that a package has brought.
	if in.installed["ca-certificates"] != nil {
		for p := range in.by {
			if strings.HasPrefix(p, "/usr/share/ca-certificates/") || strings.HasPrefix(p, "/usr/local/share/ca-certificates/") {
				return in.to.Certificates(in.base, "ca-cert-")
			}
		}
	}
	return nil
}

// do does what the command would, and tells whether it could.
func (in *apkInstaller) do(words []string) bool {
	switch command := path.Base(words[0]); {
	case slices.Contains(needless, command) || command == "rc-update" || command == "rc-service" || command == "busybox":
		return true
	case !packages.Known(words):
		return false
	case command == "update-ca-certificates":
		return in.to.Certificates(in.base, "ca-cert-") == nil
	default:
		words = append([]string{command}, words[1:]...)
		return in.to.Command(words, in.accounts, in.base) || in.accounts.Command(words, in.to)
	}
}
