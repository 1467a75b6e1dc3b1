package rootfs

import (
	"archive/tar"
	"cmp"
	"fmt"
	"path"
	"strconv"
	"strings"
	"unicode"

	"github.com/multimage/multimage/buildlib/internal/filetree"
)

// User is the user that an image runs as. The zero value is the base's own, and
// nonroot, 65532:65532, on scratch.
type User struct {
	// Name is an account of the base, or else one to add to it.
	// Empty: the numbers are used and nothing is added.
	Name string
	// UID is the number of an added Name. Zero: the first free one from 1000.
	UID int
	// GID is the primary group. Zero: the group with that Name; without a
	// Name, the one that the base has for the UID; else the UID if it is
	// free.
	GID int
	// Home is the home directory of an added Name, which is made if it isn't
	// there. Empty: /home/NAME.
	Home string
}

// The accounts of an image whose base has none. nonroot is as in distroless images.
const (
	plainPasswd = `root:x:0:0:root:/root:/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin
nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin
`
	plainGroup = `root:x:0:
nobody:x:65534:
nonroot:x:65532:
`
	nonroot = "nonroot"
)

const (
	passwdPath = "/etc/passwd"
	groupPath  = "/etc/group"
	shadowPath = "/etc/shadow"
)

// accountFile is passwd, group or shadow.
type accountFile struct {
	path    string
	data    []byte
	node    filetree.Node
	present bool // in the base
	changed bool
}

func readAccountFile(t *filetree.Tree, p, plain string) (*accountFile, error) {
	resolved, n, ok := t.Lookup(p)
	if !ok {
		return &accountFile{path: p, data: []byte(plain), node: filetree.Node{Mode: 0o644}}, nil
	}
	data, ok := t.File(p)
	if !ok || n.Type == tar.TypeDir {
		return nil, fmt.Errorf("the base's %s cannot be read", p)
	}
	return &accountFile{path: resolved, data: data, node: n, present: true}, nil
}

func (f *accountFile) append(format string, args ...any) {
	f.data = appendLine(f.data, format, args...)
	f.changed = true
}

func (f *accountFile) addTo(to *fileSystem) error {
	c := textFile(f.path, f.node.Mode, f.data, "the image's accounts")
	c.UID, c.GID = f.node.UID, f.node.GID
	return to.put(c, "")
}

// account is the account that an image runs as.
type account struct {
	config   string // the config's User
	uid, gid int    // 0 if not known
}

// numbers is the account as a config's User in numbers alone.
func (a account) numbers() string { return fmt.Sprintf("%d:%d", a.uid, a.gid) }

// accountOf is the account of a line of passwd. The config has its UID and GID, or the
// UID alone if it is in more groups: only then do engines look up its groups.
func accountOf(l passwdLine, users passwdFile, groups groupFile) account {
	a := account{uid: l.uid, gid: l.gid}
	a.config = a.numbers()
	if found, ok := users.lookup(l.uid); ok && found == l && groups.further(l) {
		a.config = strconv.Itoa(l.uid)
	}
	return a
}

// addUser adds what the user u needs to the current layer, and returns the account.
// It is in numbers: Kubernetes' runAsNonRoot refuses names. fromBase is the base's
// config.User, and scratch is set if there is no base. It writes what adduser(8)
// would.
func addUser(to *fileSystem, u User, fromBase string, scratch bool) (account, error) {
	if err := u.check(); err != nil {
		return account{}, fmt.Errorf("user: %w", err)
	}
	if u == (User{}) && scratch {
		u.Name = nonroot
	}
	passwd, err := readAccountFile(to.tree, passwdPath, plainPasswd)
	group, groupErr := readAccountFile(to.tree, groupPath, plainGroup)
	if err = cmp.Or(err, groupErr); err != nil && u == (User{}) {
		return account{config: fromBase}, nil
	} else if err != nil {
		return account{}, fmt.Errorf("user: %w", err)
	}
	var a account
	switch known := parsePasswd(passwd.data); {
	case u == (User{}):
		return numeric(fromBase, passwd, group), nil
	case u.Name == "":
		a = u.numbered(known, parseGroup(group.data))
	default:
		if l, ok := known.name(u.Name); ok {
			if err := u.matches(l); err != nil {
				return account{}, fmt.Errorf("user %s: %w", u.Name, err)
			}
			a = accountOf(l, known, parseGroup(group.data))
			if !passwd.present && l.name == nonroot {
				err = to.mkdir(directory(l.home, 0o755, l.uid, l.gid))
			}
		} else {
			a, err = u.add(to, passwd, group)
		}
		if err != nil {
			return account{}, fmt.Errorf("user %s: %w", u.Name, err)
		}
	}
	for _, f := range []*accountFile{passwd, group} {
		if f.changed || !f.present && (scratch || u.Name != "") {
			if err := f.addTo(to); err != nil {
				return account{}, fmt.Errorf("user: %w", err)
			}
		}
	}
	return a, nil
}

// check refuses what passwd(5) can't hold, and what has no meaning.
func (u User) check() error {
	bad := func(r rune) bool { return r == ':' || unicode.IsControl(r) }
	const maxID = 1<<32 - 2 // 1<<32 - 1 means none to the kernel
	switch {
	case strings.ContainsFunc(u.Name, func(r rune) bool { return bad(r) || r == '/' || unicode.IsSpace(r) }):
		return fmt.Errorf("name %q has a colon, a slash, a space or a control character", u.Name)
	case u.UID < 0 || u.GID < 0 || int64(u.UID) > maxID || int64(u.GID) > maxID:
		return fmt.Errorf("%d:%d: numbers go from 0 to %d", u.UID, u.GID, int64(maxID))
	case u.Name == "" && u.Home != "":
		return fmt.Errorf("home %s needs a name", u.Home)
	case u.Name == "" && u.UID == 0 && u.GID != 0:
		return fmt.Errorf("group %d needs a name or a UID", u.GID)
	case u.Home != "" && strings.ContainsFunc(u.Home, bad):
		return fmt.Errorf("home %q has a colon or a control character", u.Home)
	case u.Home != "":
		return checkPath(u.Home)
	}
	return nil
}

// numbered is the account of a user without a name.
func (u User) numbered(users passwdFile, groups groupFile) account {
	a := account{uid: u.UID, gid: u.GID}
	if u.GID == 0 {
		if l, ok := users.uid(u.UID); ok {
			return accountOf(l, users, groups)
		}
		a.gid = u.UID
	}
	a.config = a.numbers()
	return a
}

// matches is an error if the account that the base has differs from u.
func (u User) matches(l passwdLine) error {
	switch {
	case u.UID != 0 && u.UID != l.uid:
		return fmt.Errorf("the base has it with UID %d, not %d; leave UID out, or choose another name", l.uid, u.UID)
	case u.GID != 0 && u.GID != l.gid:
		return fmt.Errorf("the base has it with GID %d, not %d; leave GID out, or choose another name", l.gid, u.GID)
	case u.Home != "" && u.Home != l.home:
		return fmt.Errorf("the base has it with home %s, not %s; leave Home out, or choose another name", l.home, u.Home)
	}
	return nil
}

// add adds an account that the base doesn't have.
func (u User) add(to *fileSystem, passwd, group *accountFile) (account, error) {
	users, groups := parsePasswd(passwd.data), parseGroup(group.data)
	if u.Name == "root" { // for others, a zero UID means the first free one
		return account{config: "0:0"}, nil
	}
	if u.UID == 0 {
		u.UID = users.free()
	} else if l, ok := users.uid(u.UID); ok {
		return account{}, fmt.Errorf("the base gives UID %d to %s; use that name, or choose another UID", u.UID, l.name)
	}
	own, hasOwn := groups.name(u.Name)
	switch _, taken := groups.gid(u.UID); {
	case u.GID != 0:
	case hasOwn:
		u.GID = own.gid
	case !taken:
		u.GID = u.UID
	default:
		u.GID = groups.free()
	}
	if _, ok := groups.gid(u.GID); !ok {
		if hasOwn {
			return account{}, fmt.Errorf("the base has the group %s with GID %d, not %d; leave GID out", u.Name, own.gid, u.GID)
		}
		group.append("%s:x:%d:", u.Name, u.GID)
	}
	if u.Home == "" {
		u.Home = path.Join("/home", u.Name)
	}
	passwd.append("%s:x:%d:%d::%s:/sbin/nologin", u.Name, u.UID, u.GID, u.Home)
	if _, _, ok := to.tree.Lookup(shadowPath); ok {
		shadow, err := readAccountFile(to.tree, shadowPath, "")
		if err != nil {
			return account{}, err
		}
		// No password, and no date of its last change: with a 0 the login would
		// ask for a new password (shadow(5)).
		shadow.append("%s:!::0:99999:7:::", u.Name)
		if err := shadow.addTo(to); err != nil {
			return account{}, err
		}
	}
	// A home that is there keeps its owner, as with adduser: it may be any
	// folder, even /.
	if err := to.mkdir(directory(u.Home, 0o755, u.UID, u.GID)); err != nil {
		return account{}, fmt.Errorf("home: %w", err)
	}
	users = parsePasswd(passwd.data)
	return accountOf(users[len(users)-1], users, parseGroup(group.data)), nil
}

// numeric returns the base's own config.User with its names as numbers (OCI
// image spec, config.md, "User": user, uid, user:group, uid:gid, uid:group,
// user:gid). A name that the base doesn't have stays.
func numeric(user string, passwd, group *accountFile) account {
	name, groupName, hasGroup := strings.Cut(user, ":")
	var users passwdFile
	var groups groupFile
	if passwd.present {
		users = parsePasswd(passwd.data)
	}
	if group.present {
		groups = parseGroup(group.data)
	}
	uid, isNumber := number(name)
	l, known := users.name(name)
	if isNumber {
		l, known = users.lookup(uid)
	}
	switch {
	case !isNumber && !known:
		return account{config: user}
	case !hasGroup && isNumber:
		return account{config: user, uid: uid, gid: l.gid}
	case !hasGroup:
		return accountOf(l, users, groups)
	case !isNumber:
		uid = l.uid
	}
	gid, ok := number(groupName)
	if !ok {
		g, ok := groups.name(groupName)
		if !ok {
			return account{config: user, uid: uid, gid: l.gid}
		}
		gid = g.gid
	}
	a := account{uid: uid, gid: gid}
	a.config = a.numbers()
	return a
}
