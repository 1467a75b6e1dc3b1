package packages

import (
	"archive/tar"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Accounts are the users and groups of a base, with those that packages add.
type Accounts struct {
	files   map[string]string // the text of passwd, group, shadow and gshadow
	changed bool
}

// ReadAccounts reads the accounts of the base.
func ReadAccounts(base fs.FS) (*Accounts, error) {
	a := &Accounts{files: map[string]string{}}
	for _, name := range []string{"passwd", "group", "shadow", "gshadow"} {
		data, err := fs.ReadFile(base, "etc/"+name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err == nil {
			a.files[name] = string(data)
		}
	}
	return a, nil
}

// lookup returns the number of a name in a file; a number is itself.
func (a *Accounts) lookup(file, name string) (int, bool) {
	if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(n), true
	}
	for _, f := range a.records(file) {
		if f[0] == name {
			n, err := strconv.ParseUint(f[2], 10, 31)
			return int(n), err == nil
		}
	}
	return 0, false
}

// records are the lines of a file, split into fields: name, password, number...
func (a *Accounts) records(file string) (all [][]string) {
	for line := range strings.Lines(a.files[file]) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) > 2 {
			all = append(all, f)
		}
	}
	return all
}

// has tells whether the file has an account of that number.
func (a *Accounts) has(file string, id int) bool {
	return slices.ContainsFunc(a.records(file), func(f []string) bool { return f[2] == strconv.Itoa(id) })
}

// UID returns the number of a user. A number is itself.
func (a *Accounts) UID(name string) (int, bool) { return a.lookup("passwd", name) }

// GID returns the number of a group. A number is itself.
func (a *Accounts) GID(name string) (int, bool) { return a.lookup("group", name) }

// free returns the first number in the range, from its end if down, that
// neither a user nor a group has; 0: there is none.
func (a *Accounts) free(first, last int, down bool) int {
	for i := range last - first + 1 {
		n := first + i
		if down {
			n = last - i
		}
		if !a.has("passwd", n) && !a.has("group", n) {
			return n
		}
	}
	return 0
}

// User is a system user to be added.
type User struct {
	Name, Comment, Shell string
	Home                 string // empty: /nonexistent
	MakeHome             bool
	UID                  int    // 0: a free one
	Group                string // empty: a group of the user's name
	Down                 bool   // numbers from 999 down, as useradd and sysusers do, not from 100 up
}

// AddGroup adds a group, unless there is one of that name; 0 is a free number.
func (a *Accounts) AddGroup(name string, gid int, down bool) error {
	if _, ok := a.GID(name); ok {
		return nil
	}
	if gid == 0 {
		gid = a.free(100, 999, down)
	}
	return a.append(name, gid, "group", "%s:x:%d:", "gshadow", "%s:!::")
}

// AddUser adds a user, and a group of that name, unless there is one.
func (a *Accounts) AddUser(u User, to *Contents) error {
	if _, ok := a.UID(u.Name); ok {
		return nil
	}
	if u.UID == 0 {
		u.UID = a.free(100, 999, u.Down)
	}
	if u.Group == "" {
		u.Group = u.Name
		gid := u.UID
		if a.has("group", gid) {
			gid = 0
		}
		if err := a.AddGroup(u.Name, gid, u.Down); err != nil {
			return err
		}
	}
	gid, ok := a.GID(u.Group)
	if !ok {
		return fmt.Errorf("user %s: there is no group %s", u.Name, u.Group)
	}
	home := cmp.Or(u.Home, "/nonexistent")
	if strings.ContainsAny(u.Comment+home+u.Shell, ":\n") || !path.IsAbs(home) {
		return fmt.Errorf("user %s: comment, home or shell can't be in a line of passwd", u.Name)
	}
	if u.MakeHome && u.Home != "" {
		to.Default(Entry{Path: path.Clean(home), Type: tar.TypeDir, Mode: 0o755, UID: u.UID, GID: gid})
	}
	return a.append(u.Name, u.UID, "passwd",
		"%s:x:%d:"+strings.ReplaceAll(fmt.Sprintf("%d:%s:%s:%s", gid, u.Comment, home, cmp.Or(u.Shell, "/usr/sbin/nologin")), "%", "%%"),
		"shadow", "%s:!:::::::")
}

// Join adds the user to a further group.
func (a *Accounts) Join(user, group string) error {
	lines := strings.SplitAfter(a.files["group"], "\n")
	for i, line := range lines {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) != 4 || f[0] != group {
			continue
		}
		if members := strings.Split(f[3], ","); !slices.Contains(members, user) {
			f[3] = strings.TrimPrefix(f[3]+","+user, ",")
			lines[i] = strings.Join(f, ":") + "\n"
			a.files["group"], a.changed = strings.Join(lines, ""), true
		}
		return nil
	}
	return fmt.Errorf("user %s: there is no group %s", user, group)
}

func (a *Accounts) append(name string, id int, file, line, secret, locked string) error {
	if id <= 0 || a.has(file, id) {
		return fmt.Errorf("%s: number %d is not free", name, id)
	}
	if !accountName.MatchString(name) {
		return fmt.Errorf("%.80q is not a name of a user or group", name)
	}
	add := func(file, line string) {
		if text := a.files[file]; text != "" && !strings.HasSuffix(text, "\n") {
			a.files[file] += "\n"
		}
		a.files[file] += line + "\n"
	}
	add(file, fmt.Sprintf(line, name, id))
	if _, ok := a.files[secret]; ok {
		add(secret, fmt.Sprintf(locked, name))
	}
	a.changed = true
	return nil
}

var accountName = regexp.MustCompile(`^[a-z_][a-z0-9_.-]*$`)

// Write sets the files of accounts, if there are new ones.
func (a *Accounts) Write(to *Contents) error {
	if !a.changed {
		return nil
	}
	for name, text := range a.files {
		e := Entry{Path: "/etc/" + name, Type: tar.TypeReg, Mode: 0o644}
		if strings.HasSuffix(name, "shadow") {
			e.Mode = 0o640
			e.GID, _ = a.GID("shadow")
		}
		if err := to.Add(e, strings.NewReader(text)); err != nil {
			return err
		}
	}
	return nil
}

// Command does what adduser, addgroup, useradd, groupadd or usermod would for a
// system user. It returns false for other commands, and for options whose effect
// isn't known.
func (a *Accounts) Command(words []string, to *Contents) bool {
	u := User{MakeHome: words[0] == "adduser", Down: strings.HasSuffix(words[0], "add")}
	system, own, gid := u.Down, false, 0
	var args, groups []string
	for i := 1; i < len(words); i++ {
		flag, value, inline := strings.Cut(words[i], "=")
		take := func() string {
			if !inline && i+1 < len(words) {
				i++
				value = words[i]
			}
			return value
		}
		number := func() int { n, _ := strconv.Atoi(take()); return n }
		switch flag {
		case "--system", "-S", "-r":
			system = true
		case "--quiet", "-q", "--disabled-password", "--disabled-login", "-D", "-N", "--no-user-group", "-U", "--user-group", "--force-badname", "--allow-bad-names", "-f", "--force", "-a", "--append":
		case "--group":
			own = true
		case "--no-create-home", "-H", "-M":
			u.MakeHome = false
		case "--create-home", "-m":
			u.MakeHome = true
		case "--home", "-h", "--home-dir", "-d":
			u.Home = take()
		case "--shell", "-s":
			u.Shell = take()
		case "--gecos", "--comment", "-c":
			u.Comment = take()
		case "--ingroup", "-G", "--groups":
			if take(); words[0] == "adduser" {
				u.Group = value
			} else { // further ones
				groups = strings.Split(value, ",")
			}
		case "-g", "--gid":
			switch take(); {
			case words[0] == "usermod":
				return false
			case words[0] == "adduser" && flag == "-g": // busybox: the comment
				u.Comment = value
			case words[0] == "adduser" || words[0] == "useradd":
				u.Group = value
			default:
				gid, _ = strconv.Atoi(value)
			}
		case "--uid", "-u":
			u.UID = number()
		default:
			if strings.HasPrefix(flag, "-") {
				return false
			}
			args = append(args, words[i])
		}
	}
	if len(args) == 2 && (words[0] == "adduser" || words[0] == "addgroup") && !system {
		return a.Join(args[0], args[1]) == nil
	}
	if len(args) != 1 || !system && words[0] != "usermod" {
		return false
	}
	switch words[0] {
	case "addgroup", "groupadd":
		return a.AddGroup(args[0], gid, u.Down) == nil
	case "usermod":
		if len(groups) == 0 || u != (User{}) {
			return false
		}
	case "adduser", "useradd":
		if u.Name = args[0]; words[0] == "adduser" && u.Group == "" && !own {
			u.Group = "nogroup"
		}
		if a.AddUser(u, to) != nil {
			return false
		}
	default:
		return false
	}
	for _, group := range groups {
		if a.Join(args[0], group) != nil {
			return false
		}
	}
	return true
}
