package dockerfile

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func digest(t *testing.T, path, into string, skip ...string) string {
	t.Helper()
	c, err := Open(path, skip...)
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.Digest(nil, into)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The digest is of what a build can see, and of nothing else.
func TestDigest(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"Dockerfile": "FROM scratch\nCOPY . /\n", "a": "1", "sub/b": "2", ".dockerignore": "*.md\nlog\n!log/kept\n",
		"README.md": "x", "log/x": "x", "log/kept": "3", ".git/HEAD": "x", "dist/out": "x",
	})
	out := filepath.Join(dir, "dist")
	was := digest(t, dir, "", out)
	copied := t.TempDir()
	if got := digest(t, filepath.Join(dir, "Dockerfile"), copied, out); got != was {
		t.Errorf("a copy has the digest %s, not %s", got, was)
	}
	var names []string
	err := filepath.Walk(copied, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			names = append(names, strings.TrimPrefix(path, copied))
			if info.ModTime().Unix() != 0 {
				t.Errorf("%s has the time %s", path, info.ModTime())
			}
		}
		return err
	})
	if want := []string{"/Dockerfile", "/a", "/log/kept", "/sub/b"}; err != nil || !reflect.DeepEqual(names, want) {
		t.Errorf("copied %q, not %q (%v)", names, want, err)
	}
	for _, step := range []struct {
		name  string
		same  bool
		apply func() error
	}{
		{"what is excluded", true, func() error {
			write(t, dir, map[string]string{"README.md": "y", "log/x": "y", "dist/out": "y"})
			return nil
		}},
		{"another umask", true, func() error { return os.Chmod(filepath.Join(dir, "a"), 0o600) }},
		{"an empty folder", true, func() error { return os.Mkdir(filepath.Join(dir, "empty"), 0o755) }},
		{"content", false, func() error { write(t, dir, map[string]string{"a": "2"}); return nil }},
		{"a mode", false, func() error { return os.Chmod(filepath.Join(dir, "a"), 0o755) }},
		{"a name", false, func() error { return os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "c")) }},
		{"a link", false, func() error { return os.Symlink("c", filepath.Join(dir, "a")) }},
		{"the Dockerfile", false, func() error {
			write(t, dir, map[string]string{"Dockerfile": "FROM scratch\nCOPY . /\n# 2\n"})
			return nil
		}},
		{"its own ignore file", false, func() error { write(t, dir, map[string]string{"Dockerfile.dockerignore": "sub\n"}); return nil }},
	} {
		if err := step.apply(); err != nil {
			t.Fatal(err)
		}
		now := digest(t, dir, "", out)
		if (now == was) != step.same {
			t.Errorf("%s: %s after %s", step.name, now, was)
		}
		was = now
	}
}

func TestImages(t *testing.T) {
	text := "ARG V=3.24\nARG TARGETARCH\nFROM --platform=$BUILDPLATFORM golang:1 AS Build\nFROM alpine:${V} AS two\n" +
		"FROM \\\n  other\nCOPY --from=build /a /a\nCOPY --from=0 /a /b\nCOPY --from=tools:1 /a /c\n" +
		"RUN --mount=type=cache,target=/c \\\n  --mount=type=bind,from=headers,target=/h make --from=headers\nFROM two\nFROM arch-$TARGETARCH\nFROM scratch\n"
	f, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	images, err := f.Images("linux/arm/v7")
	if err != nil {
		t.Fatal(err)
	}
	host := platformArgs("")["BUILDPLATFORM"]
	var got []string
	names := map[Image]string{}
	for _, i := range images {
		got = append(got, i.Ref+" "+i.Platform)
		names[i] = "pinned/" + i.Ref
	}
	want := []string{"golang:1 " + host, "alpine:3.24 linux/arm/v7", "other linux/arm/v7", "tools:1 linux/arm/v7", "headers linux/arm/v7", "arch-arm linux/arm/v7"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	pinned := strings.NewReplacer("golang:1 AS", "pinned/golang:1 AS", "alpine:${V}", "pinned/alpine:3.24", "arch-$TARGETARCH", "pinned/arch-arm", "=tools:1 ", "=pinned/tools:1 ", "=headers,", "=pinned/headers,").Replace(text)
	if got := string(Pin([]byte(text), names)); got != pinned {
		t.Errorf("got\n%s\nwant\n%s", got, pinned)
	}
}
