package evidence

import (
	"fmt"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// An index whose images have ten times the files takes ten times as long.
func BenchmarkDocument(b *testing.B) {
	for _, kind := range Kinds {
		for _, files := range []int{100, 1000, 10_000} {
			s := &Subject{Name: "server", Digest: v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%064x", 1)}, Created: time.Unix(0, 0)}
			for i := range 2 {
				c := Contents{Platform: fmt.Sprint("linux/", i), Digest: v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%064x", 2+i)}}
				main := Binary{Path: "/server", Package: "example.com/server", Go: "go1.26.8"}
				for j := range files {
					c.Files = append(c.Files, File{Path: fmt.Sprint("/srv/", j), Digest: v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%064x", j)}})
					if j < files/10 {
						main.Modules = append(main.Modules, Module{Path: fmt.Sprint("example.com/", j), Version: "v1.0.0"})
					}
				}
				c.Binaries = append(c.Binaries, main)
				s.Images = append(s.Images, c)
			}
			b.Run(fmt.Sprint(kind, "/files=", files), func(b *testing.B) {
				for b.Loop() {
					if _, err := NewDocument(kind, s); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
