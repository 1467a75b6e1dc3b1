package distro

import (
	"slices"
	"testing"
)

// A base may have virtual packages in apk's database, as the official image of
// Python does: their names begin with a dot.
func TestVirtualPackage(t *testing.T) {
	r := newAlpine(t)
	r.set("lib/apk/db/installed", string(r.base["lib/apk/db/installed"].Data)+
		"C:Q1def=\nP:.python-rundeps\nV:20260801.120000\nA:noarch\nS:0\nI:0\nT:virtual meta package\nU:\nL:\nD:so:libx.so.1\n\n"+
		"C:Q1ghi=\nP:lib\nV:1-r0\nA:x86_64\np:so:libx.so.1=1\n\n")
	r.apk("tool", "1-r0", "", "", nil)
	_, texts, err := r.install(r.client(), []string{"tool"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(texts["/lib/apk/db/installed"]); !slices.Equal(got, []string{".python-rundeps", "busybox", "lib", "tool"}) {
		t.Errorf("installed: %q", got)
	}
}
