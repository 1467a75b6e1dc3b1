package packages

import (
	"archive/tar"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Command does what cp, mkdir, chmod, chown, chgrp, ln, touch or setcap would do with
// files that the packages bring to base. It returns false for other commands, and for
// what can't be told.
func (c *Contents) Command(words []string, who *Accounts, base fs.FS) bool {
	var flags, args []string
	for _, w := range words[1:] {
		switch {
		case strings.HasPrefix(w, "-"):
			flags = append(flags, w)
		default:
			args = append(args, w)
		}
	}
	if words[0] != "mkdir" {
		for _, f := range flags {
			if strings.Trim(f, "-hpsfvan") != "" { // options that don't matter for a single file
				return false
			}
		}
	}
	for i, a := range args {
		isFile := words[0] == "cp" || words[0] == "mkdir" || words[0] == "ln" && i == 1 || words[0] == "touch" || i > 0 && words[0] != "ln"
		if isFile && (!path.IsAbs(a) || strings.ContainsAny(a, "*?[")) {
			return false
		}
	}
	switch {
	case words[0] == "mkdir":
		return c.mkdir(flags, args)
	case words[0] == "touch" && len(args) == 1:
		p := path.Clean(args[0])
		return c.entries[p] != nil || exists(base, p) || c.Text(p, 0o644, "") == nil
	case words[0] == "cp" && len(args) == 2:
		return c.copy(path.Clean(args[0]), path.Clean(args[1]))
	case words[0] == "ln" && len(args) == 2 && len(flags) > 0 && strings.Contains(flags[0], "s"):
		return c.Symlink(path.Clean(args[1]), args[0]) == nil
	case len(args) < 2:
		return false
	}
	for _, p := range args[1:] {
		e, ok := c.entries[path.Clean(p)]
		if !ok || e.Type == tar.TypeLink || e.Type == tar.TypeSymlink || !e.change(words[0], args[0], who) {
			return false
		}
	}
	return true
}

func exists(base fs.FS, p string) bool {
	_, err := fs.Stat(base, strings.TrimPrefix(p, "/"))
	return err == nil
}

// change does what chmod, chown, chgrp or setcap would.
func (e *Entry) change(command, how string, who *Accounts) bool {
	switch command {
	case "chmod":
		mode, err := strconv.ParseInt(how, 8, 16)
		switch {
		case err == nil:
			e.Mode = mode
		case how == "u+s":
			e.Mode |= 0o4000
		case how == "u-s":
			e.Mode &^= 0o4000
		case how == "g+s":
			e.Mode |= 0o2000
		case how == "+x", how == "a+x":
			e.Mode |= 0o111
		default:
			return false
		}
		return true
	case "chown", "chgrp":
		owner, group, both := strings.Cut(strings.Replace(how, ".", ":", 1), ":")
		if command == "chgrp" {
			owner, group, both = "", how, true
		}
		uid, gid, ok := e.UID, e.GID, true
		if owner != "" {
			uid, ok = who.UID(owner)
		}
		if both && group != "" && ok {
			gid, ok = who.GID(group)
		}
		if ok {
			e.UID, e.GID = uid, gid
		}
		return ok
	case "setcap":
		value, err := Capabilities(how)
		if err == nil && e.Type == tar.TypeReg {
			e.Xattrs = map[string][]byte{CapabilityXattr: []byte(value)}
			return true
		}
	}
	return false
}

func (c *Contents) mkdir(flags, args []string) bool {
	mode := int64(0o755)
	for _, f := range flags {
		switch {
		case f == "-p" || f == "--parents":
		case f == "-m" && len(args) > 1:
			m, err := strconv.ParseInt(args[0], 8, 16)
			if err != nil {
				return false
			}
			mode, args = m, args[1:]
		default:
			return false
		}
	}
	for _, p := range args {
		if !path.IsAbs(p) {
			return false
		}
		c.Default(Entry{Path: path.Clean(p), Type: tar.TypeDir, Mode: mode})
	}
	return len(args) > 0
}

func (c *Contents) copy(from, to string) bool {
	e, ok := c.entries[from]
	if !ok || e.Type != tar.TypeReg {
		return false
	}
	if t, ok := c.entries[to]; ok && t.Type == tar.TypeDir {
		to = path.Join(to, path.Base(from))
	}
	twin := *e
	twin.Path = to
	c.entries[to] = &twin
	return true
}
