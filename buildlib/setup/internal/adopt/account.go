package adopt

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/multimage/multimage/buildlib"
)

// accounts are the users and groups that a Dockerfile adds.
type accounts struct {
	users  []account
	groups map[string]int // GID by name; 0 if none is given
}

type account struct {
	buildlib.User
	group string // its name or GID; empty: a group of its own
}

// userOptions are the options with values of adduser (busybox's and Debian's), useradd,
// addgroup and groupadd.
var userOptions = map[string][]string{
	"adduser":  {"h", "g", "s", "G", "u", "k", "home", "gecos", "shell", "ingroup", "uid", "gid", "firstuid", "lastuid", "conf", "comment"},
	"useradd":  {"u", "g", "d", "s", "c", "G", "b", "K", "k", "p", "e", "f", "uid", "gid", "home-dir", "home", "shell", "comment", "groups", "base-dir", "key", "skel", "password"},
	"addgroup": {"g", "gid"},
	"groupadd": {"g", "gid", "K", "p"},
}

// command executes a command that adds an account, and reports whether it is one.
func (a *accounts) command(words []string) bool {
	valued, ok := userOptions[words[0]]
	if !ok {
		return false
	}
	options := map[string]string{}
	var args []string
	for n := 1; n < len(words); n++ {
		word := words[n]
		if !strings.HasPrefix(word, "-") || word == "-" {
			args = append(args, word)
			continue
		}
		name, value, joined := strings.Cut(strings.TrimLeft(word, "-"), "=")
		if !strings.HasPrefix(word, "--") && len(name) > 1 { // -DH, -Du 1000
			name, joined = name[len(name)-1:], false
		}
		if !joined && slices.Contains(valued, name) && n+1 < len(words) {
			n++
			value = words[n]
		}
		options[name] = value
	}
	if a.groups == nil {
		a.groups = map[string]int{}
	}
	if len(args) == 0 {
		return true
	}
	name, _ := plain(args[0])
	switch words[0] {
	case "addgroup", "groupadd":
		if len(args) == 1 { // with two, a user joins a group
			a.groups[name], _ = strconv.Atoi(cmp.Or(options["g"], options["gid"]))
		}
	default:
		u := account{}
		u.Name = name
		u.UID, _ = strconv.Atoi(cmp.Or(options["u"], options["uid"]))
		if u.Home = cmp.Or(options["h"], options["d"], options["home"], options["home-dir"]); u.Home == "/home/"+name {
			u.Home = ""
		}
		u.group = cmp.Or(options["G"], options["ingroup"], options["gid"])
		if words[0] == "useradd" {
			u.group = cmp.Or(options["g"], options["gid"])
		}
		a.users = append(a.users, u)
	}
	return true
}

func (a *accounts) find(name string) (account, bool) {
	for _, u := range a.users {
		if u.Name == name || u.UID != 0 && strconv.Itoa(u.UID) == name {
			return u, true
		}
	}
	return account{}, false
}

// uid returns the UID of a user, whose name may also be a UID, and whether it is known.
func (a *accounts) uid(name string) (int, bool) {
	if n, err := strconv.Atoi(name); err == nil {
		return n, true
	}
	if name == "root" || name == "" {
		return 0, true
	}
	u, ok := a.find(name)
	return u.UID, ok && u.UID != 0
}

// gid returns the GID of a group, by default of the user's, and whether it is known.
func (a *accounts) gid(name, user string) (int, bool) {
	if n, err := strconv.Atoi(name); err == nil {
		return n, true
	}
	if name == "root" {
		return 0, true
	}
	if n := a.groups[name]; n != 0 {
		return n, true
	}
	u, ok := a.find(user)
	if ok && u.group != "" && u.group != name {
		return a.gid(u.group, "")
	}
	if name == "" || name == user { // adduser takes the UID
		return a.uid(user)
	}
	return 0, false
}
