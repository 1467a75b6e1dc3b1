package rootfs

import (
	"archive/tar"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/filetree"
)

// alpineTree is a small tree as Alpine's: a group file without a newline at
// its end tells whether lines are kept apart.
func alpineTree() *filetree.Tree {
	file := filetree.Node{Type: tar.TypeReg, Mode: 0o644}
	return &filetree.Tree{
		Nodes: map[string]filetree.Node{
			"/etc": {Type: tar.TypeDir, Mode: 0o755}, "/home": {Type: tar.TypeDir, Mode: 0o755},
			"/etc/passwd": file, "/etc/group": file, "/etc/shadow": {Type: tar.TypeReg, Mode: 0o640, GID: 42},
			"/var": {Type: tar.TypeDir, Mode: 0o755}, "/var/mail": {Type: tar.TypeDir, Mode: 0o700, UID: 8, GID: 12},
		},
		Files: map[string][]byte{
			"/etc/passwd": []byte("root:x:0:0:root:/root:/bin/sh\nmail:x:8:12:mail:/var/mail:/sbin/nologin\n" +
				"guest:x:405:100:guest:/dev/null:/sbin/nologin\nfirst:x:1000:1000::/home/first:/bin/sh\n"),
			"/etc/group":  []byte("root:x:0:root\nmail:x:12:mail\nusers:x:100:games\nfirst:x:1000:\nsecond:x:1001:\nkvm:x:34:"),
			"/etc/shadow": []byte("root:*::0:::::\nguest:!::0:::::\n"),
		},
	}
}

// grouped is a tree with users in further groups, and what may be mistaken for them.
func grouped() *filetree.Tree {
	file := filetree.Node{Type: tar.TypeReg, Mode: 0o644}
	return &filetree.Tree{
		Nodes: map[string]filetree.Node{"/etc": {Type: tar.TypeDir, Mode: 0o755}, "/etc/passwd": file, "/etc/group": file},
		Files: map[string][]byte{
			"/etc/passwd": []byte("root:x:0:0::/root:/bin/sh\napp:x:1001:1002::/:/bin/sh\ntwin:x:1001:1004::/:/bin/sh\n" +
				"own:x:1005:1002::/:/bin/sh\nshort:x:1006:1002\n77:x:78:78::/:/bin/sh\nodd:x:77:1002::/:/bin/sh\n"),
			"/etc/group": []byte("root:x:0:\napp:x:1002:own\nextra:x:1003:twin,app,odd,late\nmore:x:1004:short\n"),
		},
	}
}

func TestUser(t *testing.T) {
	empty := &filetree.Tree{}
	for name, c := range map[string]struct {
		tree    *filetree.Tree // nil: scratch
		user    User
		base    string // the base's config.User
		want    string
		numbers string // UID:GID, where want is another
		passwd  string // the lines added to each file
		group   string
		shadow  string
		changes string // other paths set, with owners
	}{
		"scratch": {
			want:    "65532:65532",
			changes: "/etc /home /home/nonroot=65532:65532",
		},
		"scratch, a name": {
			user: User{Name: "app"}, want: "1000:1000",
			passwd:  "app:x:1000:1000::/home/app:/sbin/nologin\n",
			group:   "app:x:1000:\n",
			changes: "/etc /home /home/app=1000:1000",
		},
		"scratch, root":    {user: User{Name: "root"}, want: "0:0", changes: "/etc"},
		"scratch, nonroot": {user: User{Name: "nonroot", UID: 65532}, want: "65532:65532", changes: "/etc /home /home/nonroot=65532:65532"},
		"scratch, nobody":  {user: User{Name: "nobody"}, want: "65534:65534", changes: "/etc"},
		"scratch, numbers": {user: User{UID: 5000}, want: "5000:5000", changes: "/etc"},
		"a name": {
			tree: debianTree(), user: User{Name: "app"}, want: "1000:1000",
			passwd:  "app:x:1000:1000::/home/app:/sbin/nologin\n",
			group:   "app:x:1000:\n",
			shadow:  "app:!::0:99999:7:::\n",
			changes: "/etc /home /home/app=1000:1000",
		},
		"a name, 1000 and 1001 taken": {
			tree: alpineTree(), user: User{Name: "app"}, want: "1001:1002",
			passwd:  "app:x:1001:1002::/home/app:/sbin/nologin\n",
			group:   "\napp:x:1002:\n",
			shadow:  "app:!::0:99999:7:::\n",
			changes: "/etc /home /home/app=1001:1002",
		},
		"numbers and home": {
			tree: alpineTree(), user: User{Name: "app", UID: 2000, GID: 3000, Home: "/srv/app"}, want: "2000:3000",
			passwd:  "app:x:2000:3000::/srv/app:/sbin/nologin\n",
			group:   "\napp:x:3000:\n",
			shadow:  "app:!::0:99999:7:::\n",
			changes: "/etc /srv /srv/app=2000:3000",
		},
		"the group's own number": {
			tree: alpineTree(), user: User{Name: "second"}, want: "1001:1001",
			passwd:  "second:x:1001:1001::/home/second:/sbin/nologin\n",
			shadow:  "second:!::0:99999:7:::\n",
			changes: "/etc /home /home/second=1001:1001",
		},
		"another group": {
			tree: alpineTree(), user: User{Name: "app", GID: 100}, want: "1001:100",
			passwd:  "app:x:1001:100::/home/app:/sbin/nologin\n",
			shadow:  "app:!::0:99999:7:::\n",
			changes: "/etc /home /home/app=1001:100",
		},
		"a home that is there": {
			tree: alpineTree(), user: User{Name: "app", UID: 2000, Home: "/var/mail"}, want: "2000:2000",
			passwd:  "app:x:2000:2000::/var/mail:/sbin/nologin\n",
			group:   "\napp:x:2000:\n",
			shadow:  "app:!::0:99999:7:::\n",
			changes: "/etc",
		},
		"a name that the base has":                 {tree: alpineTree(), user: User{Name: "mail"}, want: "8:12"},
		"the same, with its numbers":               {tree: alpineTree(), user: User{Name: "mail", UID: 8, GID: 12, Home: "/var/mail"}, want: "8:12"},
		"root":                                     {tree: alpineTree(), user: User{Name: "root"}, want: "0:0"},
		"numbers that the base has":                {tree: alpineTree(), user: User{UID: 405}, want: "405:100"},
		"numbers":                                  {tree: alpineTree(), user: User{UID: 7000, GID: 5}, want: "7000:5"},
		"base without accounts":                    {tree: empty, user: User{Name: "app", UID: 7}, want: "7:7", passwd: "app:x:7:7::/home/app:/sbin/nologin\n", group: "app:x:7:\n", changes: "/etc /home /home/app=7:7"},
		"base without accounts, zero":              {tree: empty, base: "app", want: "app", numbers: "0:0"},
		"the base's own, root":                     {tree: alpineTree(), want: "", numbers: "0:0"},
		"the base's own, a number":                 {tree: alpineTree(), base: "1234", want: "1234", numbers: "1234:0"},
		"the base's own, a number of its accounts": {tree: alpineTree(), base: "405", want: "405", numbers: "405:100"},
		"the base's own, numbers":                  {tree: alpineTree(), base: "1:2", want: "1:2"},
		"the base's own, a name":                   {tree: alpineTree(), base: "mail", want: "8:12"},
		"the base's own, two names":                {tree: alpineTree(), base: "mail:kvm", want: "8:34"},
		"the base's own, mixed":                    {tree: alpineTree(), base: "77:kvm", want: "77:34"},
		"the base's own, unknown":                  {tree: alpineTree(), base: "who", want: "who", numbers: "0:0"},
		"the base's own, wrong group":              {tree: alpineTree(), base: "mail:who", want: "mail:who", numbers: "8:12"},
		"the base's own, empty in two":             {tree: alpineTree(), base: ":kvm", want: ":kvm", numbers: "0:0"},
		// Further groups.
		"the base's own, in groups":                {tree: grouped(), base: "app", want: "1001", numbers: "1001:1002"},
		"the base's own, in groups, by number":     {tree: grouped(), base: "1001", want: "1001", numbers: "1001:1002"},
		"the base's own, in groups, with a group":  {tree: grouped(), base: "app:app", want: "1001:1002"},
		"the base's own, in groups, with numbers":  {tree: grouped(), base: "1001:1002", want: "1001:1002"},
		"the base's own, in its primary one again": {tree: grouped(), base: "own", want: "1005:1002"},
		"the base's own, second of its number":     {tree: grouped(), base: "twin", want: "1001:1004"},
		"the base's own, another is called so":     {tree: grouped(), base: "odd", want: "77:1002"},
		"a name in groups":                         {tree: grouped(), user: User{Name: "app"}, want: "1001", numbers: "1001:1002"},
		"a name in groups, with numbers":           {tree: grouped(), user: User{Name: "app", UID: 1001, GID: 1002}, want: "1001", numbers: "1001:1002"},
		"numbers in groups":                        {tree: grouped(), user: User{UID: 1001}, want: "1001", numbers: "1001:1002"},
		"numbers in groups, with a group":          {tree: grouped(), user: User{UID: 1001, GID: 1002}, want: "1001:1002"},
		"short lines":                              {tree: grouped(), base: "short", want: "1006", numbers: "1006:1002"},
		"a new name that groups have": {
			tree: grouped(), user: User{Name: "late"}, want: "1000", numbers: "1000:1000",
			passwd: "late:x:1000:1000::/home/late:/sbin/nologin\n", group: "late:x:1000:\n",
			changes: "/etc /home /home/late=1000:1000",
		},
	} {
		t.Run(name, func(t *testing.T) {
			to := newFileSystem(c.tree)
			got, err := addUser(to, c.user, c.base, c.tree == nil)
			if err != nil || got.config != c.want {
				t.Fatalf("got %q, %v, want %q", got.config, err, c.want)
			}
			if numbers := cmp.Or(c.numbers, c.want); got.numbers() != numbers {
				t.Errorf("numbers %q, want %q", got.numbers(), numbers)
			}
			var others []string
			files := map[string]string{}
			for _, ch := range to.take() {
				if ch.Type == tar.TypeReg {
					r, _ := ch.Open()
					data := make([]byte, ch.Size)
					r.Read(data)
					files[ch.Path] = string(data)
					if ch.Path == "/etc/shadow" && (ch.Mode != 0o640 || ch.GID != 42) {
						t.Errorf("shadow: mode %o, group %d", ch.Mode, ch.GID)
					}
					continue
				}
				p := ch.Path
				if ch.UID != 0 || ch.GID != 0 {
					p += "=" + string(appendLine(nil, "%d:%d", ch.UID, ch.GID))
				}
				others = append(others, strings.TrimSpace(p))
			}
			if got := strings.Join(others, " "); got != c.changes {
				t.Errorf("changes %q, want %q", got, c.changes)
			}
			before := map[string]string{}
			if c.tree == nil || c.tree.Files == nil && c.user.Name != "" {
				before = map[string]string{"/etc/passwd": plainPasswd, "/etc/group": plainGroup}
			} else {
				for p, data := range c.tree.Files {
					before[p] = string(data)
				}
			}
			want := map[string]string{}
			for p, add := range map[string]string{"/etc/passwd": c.passwd, "/etc/group": c.group, "/etc/shadow": c.shadow} {
				if add != "" || before[p] != "" && (c.tree == nil || c.tree.Files == nil) {
					want[p] = before[p] + add
				}
			}
			if !reflect.DeepEqual(files, want) {
				t.Errorf("files %q\nwant  %q", files, want)
			}
		})
	}
}

func TestUserRefuses(t *testing.T) {
	unreadable := alpineTree()
	unreadable.Files = nil
	conflict := alpineTree()
	tooBig := int64(1<<32 - 1) // no constant: a 32-bit int doesn't hold it
	for name, c := range map[string]struct {
		tree *filetree.Tree
		user User
		want string
	}{
		"colon":            {nil, User{Name: "a:b"}, `user: name "a:b" has a colon`},
		"newline":          {nil, User{Name: "a\nroot"}, "control character"},
		"negative":         {nil, User{Name: "a", UID: -1}, "numbers go from 0"},
		"too big":          {nil, User{Name: "a", UID: int(tooBig)}, "numbers go from 0"},
		"home, no name":    {nil, User{UID: 1, Home: "/x"}, "home /x needs a name"},
		"group alone":      {nil, User{GID: 1}, "group 1 needs a name or a UID"},
		"relative home":    {nil, User{Name: "a", Home: "x"}, "write /x"},
		"home with colon":  {nil, User{Name: "a", Home: "/x:y"}, "home"},
		"UID of another":   {alpineTree(), User{Name: "app", UID: 8}, "user app: the base gives UID 8 to mail"},
		"other UID":        {alpineTree(), User{Name: "mail", UID: 9}, "user mail: the base has it with UID 8, not 9"},
		"other GID":        {alpineTree(), User{Name: "mail", GID: 9}, "GID 12, not 9"},
		"other home":       {alpineTree(), User{Name: "mail", Home: "/x"}, "home /var/mail, not /x"},
		"group differs":    {conflict, User{Name: "kvm", GID: 77}, "the base has the group kvm with GID 34, not 77"},
		"home is a file":   {alpineTree(), User{Name: "a", Home: "/etc/passwd"}, "home: /etc/passwd: is a file"},
		"no passwd's text": {unreadable, User{Name: "a"}, "the base's /etc/passwd cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := addUser(newFileSystem(c.tree), c.user, "", c.tree == nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestImageRunsAsTheBasesUserByNumber(t *testing.T) {
	img := mustBuild(t, newBuilder(t), Spec{Base: debianTree(), BaseUser: "www-data"})
	if got := img.User; got != "33:33" {
		t.Errorf("user %q", got)
	}
	if layers := img.Layers; len(layers) != 0 {
		t.Errorf("%d layers: an empty one was added", len(layers))
	}
}

// Whatever a base's accounts hold, they are kept, and the new one is found.
func FuzzUser(f *testing.F) {
	for _, tree := range []*filetree.Tree{debianTree(), alpineTree()} {
		f.Add(tree.Files["/etc/passwd"], tree.Files["/etc/group"])
	}
	f.Add([]byte("app"), []byte("+:::\n::\napp:x:-1:\r"))
	f.Fuzz(func(t *testing.T, passwd, group []byte) {
		tree := debianTree()
		tree.Files = map[string][]byte{"/etc/passwd": passwd, "/etc/group": group, "/etc/shadow": nil}
		to := newFileSystem(tree)
		config, err := addUser(to, User{Name: "app"}, "", false)
		if err != nil {
			t.Fatal(err)
		}
		now := passwd
		for _, c := range to.take() {
			if c.Path == "/etc/passwd" {
				r, _ := c.Open()
				if now, err = io.ReadAll(r); err != nil {
					t.Fatal(err)
				}
			}
		}
		if !bytes.HasPrefix(now, passwd) {
			t.Errorf("%q became %q", passwd, now)
		}
		l, ok := parsePasswd(now).name("app")
		if want := fmt.Sprintf("%d:%d", l.uid, l.gid); !ok || config.config != want {
			t.Errorf("user %s, accounts say %s", config.config, want)
		}
	})
}
