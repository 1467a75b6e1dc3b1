package rootfs

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestFiles(t *testing.T) {
	dir := project(t, map[string]string{
		"app.yaml": "a: 1", "run.sh": "#!/bin/sh", "web/index.html": "<p>", "web/css/a.css": "a{}", "web/empty/x": "",
		"etc/mtab": "mine",
	})
	for _, err := range []error{
		os.Chmod(filepath.Join(dir, "run.sh"), 0o700),
		os.Symlink("css/a.css", filepath.Join(dir, "web", "style")),
		os.Symlink("../app.yaml", filepath.Join(dir, "web", "conf")),
		os.Symlink("nowhere", filepath.Join(dir, "web", "dangling")),
		os.Symlink("web", filepath.Join(dir, "site")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	in := func(p string) string { return filepath.Join(dir, p) }
	for name, c := range map[string]struct {
		files []File
		want  []string
	}{
		"file": {
			[]File{{Source: in("app.yaml"), Path: "/etc/app.yaml"}},
			[]string{"5 0755 0:0 etc/", "0 0644 0:0 etc/app.yaml"},
		},
		"executable": {
			[]File{{Source: in("run.sh"), Path: "/opt/run"}},
			[]string{"5 0755 0:0 opt/", "0 0755 0:0 opt/run"},
		},
		"mode and owner": {
			[]File{{Source: in("app.yaml"), Path: "/opt/a/b", Mode: 0o600, UID: 5, GID: 6}},
			[]string{"5 0755 0:0 opt/", "5 0755 0:0 opt/a/", "0 0600 5:6 opt/a/b"},
		},
		"setuid in either form": {
			[]File{{Source: in("run.sh"), Path: "/a", Mode: 0o4755}, {Source: in("run.sh"), Path: "/b", Mode: fs.ModeSetuid | 0o755}},
			[]string{"0 4755 0:0 a", "0 4755 0:0 b"},
		},
		"folder": {
			[]File{{Source: in("web"), Path: "/web", UID: 9, GID: 9}},
			[]string{
				"5 0755 9:9 web/", "2 0777 9:9 web/conf -> ../app.yaml",
				"5 0755 9:9 web/css/", "0 0644 9:9 web/css/a.css",
				"2 0777 9:9 web/dangling -> nowhere",
				"5 0755 9:9 web/empty/", "0 0644 9:9 web/empty/x",
				"0 0644 9:9 web/index.html", "2 0777 9:9 web/style -> css/a.css",
			},
		},
		"all but the output": {
			[]File{{Source: in("web"), Path: "/web", Ignore: Ignore{Folders: []Folder{{in("web/css/"), "the output"}}}}},
			[]string{
				"5 0755 0:0 web/", "2 0777 0:0 web/conf -> ../app.yaml", "2 0777 0:0 web/dangling -> nowhere",
				"5 0755 0:0 web/empty/", "0 0644 0:0 web/empty/x",
				"0 0644 0:0 web/index.html", "2 0777 0:0 web/style -> css/a.css",
			},
		},
		"folder with a mode": {
			[]File{{Source: in("web/css"), Path: "/css", Mode: 0o640}},
			[]string{"5 0755 0:0 css/", "0 0640 0:0 css/a.css"},
		},
		"a link to a folder": {
			[]File{{Source: in("site/css"), Path: "/css"}},
			[]string{"5 0755 0:0 css/", "0 0644 0:0 css/a.css"},
		},
		"a folder over one of the base's": {
			[]File{{Source: in("web/css"), Path: "/var/lib/secret"}},
			[]string{"5 0755 0:0 var/", "5 0755 0:0 var/lib/", "5 0700 7:8 var/lib/secret/", "0 0644 0:0 var/lib/secret/a.css"},
		},
		"through the base's links": {
			[]File{{Source: in("run.sh"), Path: "/bin/run"}, {Source: in("web/css"), Path: "/var/run/css"}},
			[]string{"5 0755 0:0 run/", "5 0755 0:0 run/css/", "0 0644 0:0 run/css/a.css", "5 0755 0:0 usr/", "5 0755 0:0 usr/bin/", "0 0755 0:0 usr/bin/run"},
		},
		"in place of a link": {
			[]File{{Source: in("etc"), Path: "/etc"}},
			[]string{"5 0755 0:0 etc/", "0 0644 0:0 etc/mtab"},
		},
		"directory": {
			[]File{{Path: "/data/x", Mode: 0o700, UID: 4, GID: 4}},
			[]string{"5 0755 0:0 data/", "5 0700 4:4 data/x/"},
		},
		"sticky directory": {
			[]File{{Path: "/scratch", Mode: 0o1777}},
			[]string{"5 1777 0:0 scratch/"},
		},
		"directory that is there":               {[]File{{Path: "/var/lib/secret"}}, nil},
		"directory that is there, with a mode":  {[]File{{Path: "/var/lib/secret", Mode: 0o750}}, []string{"5 0755 0:0 var/", "5 0755 0:0 var/lib/", "5 0750 7:8 var/lib/secret/"}},
		"directory that is there, with an user": {[]File{{Path: "/var/lib/secret", UID: 3, GID: 3}}, []string{"5 0755 0:0 var/", "5 0755 0:0 var/lib/", "5 0700 3:3 var/lib/secret/"}},
		"into a folder":                         {[]File{{Source: in("run.sh"), Path: "/opt/x/"}}, []string{"5 0755 0:0 opt/", "5 0755 0:0 opt/x/", "0 0755 0:0 opt/x/run.sh"}},
		"into a folder that is there":           {[]File{{Source: in("run.sh"), Path: "/bin/"}}, []string{"5 0755 0:0 usr/", "5 0755 0:0 usr/bin/", "0 0755 0:0 usr/bin/run.sh"}},
		"into the root":                         {[]File{{Source: in("run.sh"), Path: "/"}}, []string{"0 0755 0:0 run.sh"}},
		"a folder, with a slash":                {[]File{{Source: in("web/css"), Path: "/css/"}}, []string{"5 0755 0:0 css/", "0 0644 0:0 css/a.css"}},
		"directory, with a slash":               {[]File{{Path: "/css/"}}, []string{"5 0755 0:0 css/"}},
		"directory that was implied":            {[]File{{Source: in("run.sh"), Path: "/opt/x/run"}, {Source: in("web/css"), Path: "/opt/x", UID: 3}}, []string{"5 0755 0:0 opt/", "5 0755 3:0 opt/x/", "0 0644 3:0 opt/x/a.css", "0 0755 0:0 opt/x/run"}},
		"directory behind a link":               {[]File{{Path: "/bin"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range c.files {
				c.files[i].Root = dir
			}
			img := mustBuild(t, newBuilder(t), Spec{Base: debianTree(), Files: c.files})
			var got []string
			if layers := listing(t, img); len(layers) > 0 {
				got = layers[0]
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got\n%q\nwant\n%q", got, c.want)
			}
		})
	}
}

func TestFilesRefuses(t *testing.T) {
	outside := project(t, map[string]string{"secret": "s"})
	dir := project(t, map[string]string{
		"a": "a", "abs/x": "", "leave/sub/x": "", "bad/x": "",
	})
	in := func(p string) string { return filepath.Join(dir, p) }
	for _, err := range []error{
		os.Symlink("/etc/passwd", in("abs/link")),
		os.Symlink("../../../secret", in("leave/sub/link")),
		os.Symlink(filepath.Join(outside, "secret"), in("out")),
		os.Symlink(outside, in("outdir")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	debian := debianTree()
	for name, c := range map[string]struct {
		file File
		want []string
	}{
		"missing":               {File{Source: in("none"), Path: "/x"}, []string{"file /x: source ", "none: no such file or folder"}},
		"not in the project":    {File{Source: filepath.Join(outside, "secret"), Path: "/x"}, []string{"file /x: ", "is not in the project's folder"}},
		"a link out":            {File{Source: in("out"), Path: "/x"}, []string{"is a link that is absolute or leaves the project"}},
		"through a link out":    {File{Source: in("outdir/secret"), Path: "/x"}, []string{"escapes"}},
		"an absolute link":      {File{Source: in("abs"), Path: "/x"}, []string{"link abs/link: its target /etc/passwd is absolute"}},
		"a link that leaves":    {File{Source: in("leave"), Path: "/x"}, []string{"link leave/sub/link: its target ../../../secret leaves the project"}},
		"relative path":         {File{Source: in("a"), Path: "etc/a"}, []string{"is not absolute; write /etc/a"}},
		"path out of the image": {File{Source: in("a"), Path: "/../../etc/a"}, []string{"is not clean; write /etc/a"}},
		"file over a folder":    {File{Source: in("a"), Path: "/etc"}, []string{"/etc: is a folder in the image", "(/etc/ puts one into it)"}},
		"folder over a file":    {File{Source: in("bad"), Path: "/etc/passwd"}, []string{"/etc/passwd: is a file in the image"}},
		"into a file":           {File{Source: in("a"), Path: "/etc/passwd/"}, []string{"/etc/passwd is not a directory"}},
		"mode":                  {File{Source: in("a"), Path: "/a", Mode: fs.ModeDir | 0o755}, []string{"file /a: mode d", "write it like 0o644"}},
		"owner":                 {File{Source: in("a"), Path: "/a", UID: -1}, []string{"owner -1:0 is negative"}},
		"directory over a file": {File{Path: "/etc/passwd"}, []string{"is a file in the image"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.file.Root = dir
			buildError(t, newBuilder(t), Spec{Base: debian, Files: []File{c.file}}, c.want...)
		})
	}
	t.Run("no root", func(t *testing.T) {
		buildError(t, newBuilder(t), Spec{Files: []File{{Source: in("a"), Path: "/a"}}}, "is not in the project's folder")
	})
	t.Run("two files", func(t *testing.T) {
		f := File{Source: in("a"), Path: "/x/a", Root: dir}
		buildError(t, newBuilder(t), Spec{Files: []File{f, f}}, "file /x/a: ", "the file "+in("a")+" is already there")
	})
	t.Run("a binary over a file", func(t *testing.T) {
		f := File{Source: in("a"), Path: "/app", Root: dir}
		buildError(t, newBuilder(t), Spec{Files: []File{f}, Binaries: []Executable{executable(t, "/app", []byte("x"))}},
			"binary /app: the file ")
	})
}

// The user's files replace those that the library adds.
func TestFilesOverrideRuntimeFiles(t *testing.T) {
	dir := project(t, map[string]string{"company.pem": "ours"})
	img := mustBuild(t, newBuilder(t), Spec{
		CACerts: true,
		Files:   []File{{Source: filepath.Join(dir, "company.pem"), Path: certFiles[0], Root: dir}},
	})
	if got := contentOf(t, img, certFiles[0]); got != "ours" {
		t.Errorf("got %.20q", got)
	}
}

// The layer of Files follows what they hold, also within a run.
func TestFilesAreReadAgainWhenTouched(t *testing.T) {
	dir := project(t, map[string]string{"a": "one"})
	a := newBuilder(t)
	s := Spec{Files: []File{{Source: filepath.Join(dir, "a"), Path: "/a", Root: dir}}}
	if got := contentOf(t, mustBuild(t, a, s), "/a"); got != "one" {
		t.Errorf("got %q", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("two"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := contentOf(t, mustBuild(t, a, s), "/a"); got != "two" {
		t.Errorf("got %q", got)
	}
}

// However long a file is, reading it ends with the context.
func TestFilesEndWithTheContext(t *testing.T) {
	dir := t.TempDir()
	huge := filepath.Join(dir, "huge")
	f, err := os.Create(huge)
	if err == nil {
		err = errors.Join(f.Truncate(1<<40), f.Close())
	}
	if err != nil {
		t.Skip("no sparse files here: ", err)
	}
	stop := errors.New("stopped")
	for name, s := range map[string]Spec{
		"a file": {Files: []File{{Source: huge, Path: "/huge", Root: dir}}},
		"a binary": {Binaries: []Executable{{
			Path: "/huge", Source: huge, Size: 1 << 40, Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)},
		}}},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(100*time.Millisecond, func() { cancel(stop) })
		start := time.Now()
		_, err := newBuilder(t).Build(ctx, s)
		if took := time.Since(start); !errors.Is(err, stop) || took > 2*time.Second {
			t.Errorf("%s: %v after %v", name, err, took)
		}
	}
}
