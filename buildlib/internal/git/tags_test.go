package git

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
)

// The version is what a person would say who sees the tags of HEAD.
func TestVersionOfTags(t *testing.T) {
	for _, tt := range []struct {
		pattern string
		tags    string // of HEAD
		want    string // empty: none of them
	}{
		{"v*", "v1.0.0-rc1 v1.0.0", "v1.0.0"},
		{"v*", "v1.2.3 v1 v1.2", "v1.2.3"},
		{"v*", "v1 v1.2", "v1.2"},
		{"v*", "v2 v1.9.9", "v1.9.9"},
		{"v*", "v0.9.0 v1.0.0", "v1.0.0"},
		{"v*", "v1.9.0 v1.10.0 v1.2.0", "v1.10.0"},
		{"v*", "v1.0.0-rc.9 v1.0.0-rc.10", "v1.0.0-rc.10"},
		{"v*", "v1.0.0 v1.1.0-rc1", "v1.1.0-rc1"},
		{"v*", "v1.0.0 v1.0.0+k3s1 v1.0.0+k3s2", "v1.0.0+k3s2"},
		{"v*", "v1.0.0 vendored-2024 v9 v2024.01.02", "v1.0.0"},
		{"v*", "vendored-2024 latest 1.2.3 v1.2.3.4 release-v1.2.3", ""},
		{"v*", "v0.0.1 validator/v5.0.0", "v0.0.1"},
		{"*", "1.2.3 v1.2.2 latest", "1.2.3"},
		{"[0-9]*", "1.2.3 v1.2.4 3rd", "1.2.3"},
		{"v1.*", "v1.2.3 v2.0.0", "v1.2.3"},
		{"v1.2.3-rc*", "v1.2.3-rc1 v1.2.3-rc2 v1.2.3", "v1.2.3-rc2"},
		{"release-*", "release-1.2.3 release-v1.2.2 v3.0.0 release-notes", "1.2.3"},
		{"router-v*", "router-v1.2.3 agent-v2.0.0 v3.0.0", "v1.2.3"},
		{"release/v*", "release/v1.2.3 v3.0.0", "v1.2.3"},
		{"v[0-9].*", "v1.2.3 v10.0.0", "v1.2.3"},
	} {
		all := tags{"head": strings.Fields(tt.tags)}
		for range 3 { // in any order
			rand.Shuffle(len(all["head"]), func(i, j int) { all["head"][i], all["head"][j] = all["head"][j], all["head"][i] })
			if got := all.versions("", tt.pattern)["head"].text; got != tt.want {
				t.Errorf("%s of %s is %q, want %q", tt.pattern, all["head"], got, tt.want)
			}
		}
	}
}

// What isn't used and may have been meant is told.
func TestTagsThatAreNotUsed(t *testing.T) {
	for _, tt := range []struct {
		name                              string
		prepare                           func(r repo)
		module                            string
		version, unused, other, elsewhere string
	}{
		{"used", func(r repo) { r.git("tag", "1.2.3"); r.git("tag", "v1.2.3"); r.git("tag", "latest") }, "", "v1.2.3", "[]", "", ""},
		{"no tag at all", func(repo) {}, "", "HASH", "[]", "", ""},
		{"HEAD's", func(r repo) { r.git("tag", "v1.8.0"); r.commit(); r.git("tag", "1.2.3") }, "", "v1.8.0-1-gHASH", "[1.2.3]", "", ""},
		{"a nearer one", func(r repo) { r.git("tag", "v1.8.0"); r.commit(); r.git("tag", "1.2.3"); r.git("tag", "x"); r.commit() }, "", "v1.8.0-2-gHASH", "[]", "1.2.3", ""},
		{"a farther one", func(r repo) { r.git("tag", "1.2.3"); r.commit(); r.git("tag", "v1.8.0"); r.commit() }, "", "v1.8.0-1-gHASH", "[]", "", ""},
		{"none matches", func(r repo) { r.git("tag", "1.2.3"); r.git("tag", "1.10.3"); r.commit() }, "", "HASH", "[]", "1.10.3", ""},
		{"no version", func(r repo) { r.git("tag", "v1.0.0"); r.commit(); r.git("tag", "vendored-2024") }, "", "v1.0.0-1-gHASH", "[vendored-2024]", "", ""},
		{"another branch's", func(r repo) {
			r.git("checkout", "--quiet", "-b", "release")
			r.commitSaying("on the branch")
			r.git("tag", "v1.0.0")
			r.git("checkout", "--quiet", "main")
		}, "", "HASH", "[]", "", "v1.0.0"},
		{"another module's", func(r repo) {
			r.module("sub")
			r.git("tag", "v1.0.0")
			r.commit()
			r.git("tag", "sub/v3.0.0")
			r.git("tag", "none/v3.0.0")
		}, "", "v1.0.0-1-gHASH", "[none/v3.0.0]", "", ""},
		{"a module in a folder without tags", func(r repo) { r.module("sub"); r.git("tag", "v9.0.0") }, "sub", "HASH", "[v9.0.0]", "v9.0.0", ""},
		{"a module in a folder with tags of its own", func(r repo) {
			r.module("sub")
			r.git("tag", "sub/v1.0.0")
			r.commit()
			r.git("tag", "v9.0.0")
		}, "sub", "v1.0.0-1-gHASH", "[]", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRepo(t)
			tt.prepare(r)
			got := r.read(tt.module)
			want := strings.ReplaceAll(tt.version, "HASH", r.head()[:12])
			if unused := fmt.Sprint(got.Unused); got.Version != want || unused != tt.unused || got.Other != tt.other || got.Elsewhere != tt.elsewhere {
				t.Errorf("%s, unused %s, other %q, elsewhere %q; want %s, %s, %q, %q",
					got.Version, unused, got.Other, got.Elsewhere, want, tt.unused, tt.other, tt.elsewhere)
			}
		})
	}
}

// Of histories with merges, the version is that of git describe, which counts
// the commits that the tag's commit lacks.
func TestNearestIsThatOfDescribe(t *testing.T) {
	hermetic(t)
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for range 20 {
		r := repo{t, filepath.Join(t.TempDir(), "graph")}
		repo{t, filepath.Dir(r.dir)}.git("init", "--quiet", r.dir)
		var script strings.Builder
		commits := 5 + random.IntN(40)
		var tagged []int
		for i := 1; i <= commits; i++ {
			fmt.Fprintf(&script, "commit refs/heads/main\nmark :%d\ncommitter a <a@b> %d +0000\ndata 1\nx\n", i, commitTime+i)
			parents := map[int]bool{}
			for j := 0; i > 1 && j < 1+random.IntN(3); j++ {
				p := max(1, i-1-random.IntN(6))
				if word := "merge"; !parents[p] {
					if j == 0 {
						word = "from"
					}
					fmt.Fprintf(&script, "%s :%d\n", word, p)
					parents[p] = true
				}
			}
			script.WriteString("\n")
			if i < commits && random.IntN(6) == 0 {
				tagged = append(tagged, i)
			}
		}
		for i, mark := range tagged {
			if i%2 == 0 {
				fmt.Fprintf(&script, "reset refs/tags/v%d.0.0\nfrom :%d\n\n", i+1, mark)
			} else {
				fmt.Fprintf(&script, "tag v%d.0.0\nfrom :%d\ntagger a <a@b> %d +0000\ndata 1\nx\n", i+1, mark, commitTime)
			}
		}
		r.feed(script.String(), "fast-import", "--quiet", "--force")
		r.git("update-ref", "HEAD", "refs/heads/main")
		r.git("symbolic-ref", "HEAD", "refs/heads/main")
		r.git("read-tree", "HEAD")
		want := r.git("describe", "--tags", "--always", "--abbrev=12", "--candidates=64")
		if got := r.read("").Version; got != want {
			t.Errorf("version %s, want %s (seed %d)\n%s", got, want, seed, r.git("log", "--graph", "--oneline", "--all"))
		}
	}
}

// Tags of what was merged count, as do those that were set later.
func TestTagOfSecondParent(t *testing.T) {
	r := newRepo(t)
	r.git("checkout", "--quiet", "-b", "fix")
	r.commitSaying("fix")
	r.git("tag", "-m", "fixed", "v1.0.1")
	r.git("checkout", "--quiet", "main")
	r.commitSaying("other")
	r.git("merge", "--quiet", "--no-edit", "fix")
	if got, want := r.read("").Version, "v1.0.1-2-g"+r.head()[:12]; got != want {
		t.Errorf("version %s, want %s", got, want)
	}
}

func TestLiteral(t *testing.T) {
	for pattern, want := range map[string]string{
		"v*": "", "*": "", "[0-9]*": "", "release-*": "release-", "release-v*": "release-", "r/v*": "r/", "v1.*": "", "app2-v1.?": "app2-",
		"": "", "v1.2.3": "", `a\*b*`: "a", "dev*": "de",
	} {
		if got := literal.FindStringSubmatch(pattern); got == nil || got[1] != want {
			t.Errorf("%s: %q, want %q", pattern, got, want)
		}
	}
}

// Thousands of tags, annotated or not, take git a tenth of a second.
func BenchmarkManyTags(b *testing.B) {
	r := newRepo(b)
	var script strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&script, "reset refs/tags/v0.%d.0\nfrom %s\n\n", i, r.head())
		fmt.Fprintf(&script, "tag build/%d\nfrom %s\ntagger a <a@b> %d +0000\ndata 1\nx\n", i, r.head(), commitTime)
	}
	r.feed(script.String(), "fast-import", "--quiet")
	r.commit()
	for b.Loop() {
		if got := r.read("").Version; !strings.HasPrefix(got, "v0.4999.0-1-g") {
			b.Fatal(got)
		}
	}
}
