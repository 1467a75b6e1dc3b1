package pin

import (
	"strings"
	"testing"
)

const (
	index = "sha256:aaaa"
	arm   = "sha256:bbbb"
)

// published are two images of one registry, and one with numbers for tags.
var published = []Image{
	{Name: "router", Repository: "ghcr.io/acme/router", Tag: "v1.3.0", Digest: index, Digests: map[string]string{"v1.3.0": index, "latest": index, "v1.3.0-arm64": arm}},
	{Name: "agent", Repository: "docker.io/acme/agent", Tag: "1.3", Digest: index, Digests: map[string]string{"1.3": index}},
}

// In each text, everything but what is pinned stays as it is.
func TestRewrite(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"manifest", "a: 1\nspec:\n  containers:\n  - name: router   # ours\n    image: ghcr.io/acme/router:v1.2.0   # image: x\n  - {name: x, image: envoy:1}\n  - image: \"ghcr.io/acme/router\"\n",
			"a: 1\nspec:\n  containers:\n  - name: router   # ours\n    image: ghcr.io/acme/router:v1.3.0@sha256:aaaa   # image: x\n  - {name: x, image: envoy:1}\n  - image: \"ghcr.io/acme/router:v1.3.0@sha256:aaaa\"\n"},
		{"pinned before", "image: ghcr.io/acme/router:v1.2.0@sha256:0000\n", "image: ghcr.io/acme/router:v1.3.0@sha256:aaaa\n"},
		{"a tag that was published", "image: 'ghcr.io/acme/router:latest'\r\n---\r\nimage: ghcr.io/acme/router:v1.3.0-arm64\r\n",
			"image: 'ghcr.io/acme/router:latest@sha256:aaaa'\r\n---\r\nimage: ghcr.io/acme/router:v1.3.0-arm64@sha256:bbbb\r\n"},
		{"Docker Hub", "x:\n- image: acme/agent\n- image: index.docker.io/acme/agent:1.2", "x:\n- image: acme/agent:1.3@sha256:aaaa\n- image: index.docker.io/acme/agent:1.3@sha256:aaaa"},
		{"others", "a: {image: nginx:1}\nb:\n  image: nginx\nc:\n  image: ghcr.io/acme/other@sha256:cccc\nd:\n  image: \"{{ .Values.image }}\"\ne:\n  image: ghcr.io/acme/router\n",
			"a: {image: nginx:1}\nb:\n  image: nginx\nc:\n  image: ghcr.io/acme/other@sha256:cccc\nd:\n  image: \"{{ .Values.image }}\"\ne:\n  image: ghcr.io/acme/router:v1.3.0@sha256:aaaa\n"},
		{"tag", "image:\n  repository: ghcr.io/acme/router\n  pullPolicy: Always\n  tag: \"\" # of the chart\n", "image:\n  repository: ghcr.io/acme/router\n  pullPolicy: Always\n  tag: \"v1.3.0@sha256:aaaa\" # of the chart\n"},
		{"digest", "image:\n  digest:\n  repository: ghcr.io/acme/router\n", "image:\n  digest: sha256:aaaa\n  repository: ghcr.io/acme/router\n"},
		{"registry, tag and digest", "image:\n  registry: docker.io\n  repository: acme/agent\n  tag: 1.2\n  digest: # none\nother:\n  tag: 1.2\n",
			"image:\n  registry: docker.io\n  repository: acme/agent\n  tag: \"1.3\"\n  digest: sha256:aaaa # none\nother:\n  tag: 1.2\n"},
		{"text in a block", "image: ghcr.io/acme/router\ndata:\n  a.yaml: |\n    image: nginx\n\n    image: ghcr.io/acme/other:1\n  b: x\n", "image: ghcr.io/acme/router:v1.3.0@sha256:aaaa\ndata:\n  a.yaml: |\n    image: nginx\n\n    image: ghcr.io/acme/other:1\n  b: x\n"},
		{"text with a tag and an anchor", "image: ghcr.io/acme/router\na: !!str &x |\n  image: ghcr.io/acme/router\n", "image: ghcr.io/acme/router:v1.3.0@sha256:aaaa\na: !!str &x |\n  image: ghcr.io/acme/router\n"},
		{"elements apart", "- repository: ghcr.io/acme/router\n  tag: a\n- repository: nginx\n  tag: b\n", "- repository: ghcr.io/acme/router\n  tag: v1.3.0@sha256:aaaa\n- repository: nginx\n  tag: b\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := Rewrite("f.yaml", tt.text, published)
			if err != nil || got != tt.want {
				t.Fatalf("%v, got\n%s\nwant\n%s", err, got, tt.want)
			}
			if again, _, err := Rewrite("f.yaml", got, published); err != nil || again != got {
				t.Errorf("a second time: %v\n%s", err, again)
			}
		})
	}
}

// Mistakes name file and line, and what to write.
func TestMistakes(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"none", "a: b\n", "f.yaml: it names none of the published images: write one of them, like image: ghcr.io/acme/router"},
		{"unknown", "a: b\nimage: ghcr.io/acme/rooter:1\n", "f.yaml:2: ghcr.io/acme/rooter is not among the published images: did you mean ghcr.io/acme/router?"},
		{"short", "image: router:dev\n", "f.yaml:1: image router is published as ghcr.io/acme/router: write that"},
		{"no tag", "image:\n  repository: ghcr.io/acme/router\n", `f.yaml:2: repository ghcr.io/acme/router has neither a tag nor a digest beside it: add digest: ""`},
		{"anchor", "image:\n  repository: ghcr.io/acme/router\n  tag: &t v1\n", "f.yaml:2: the tag or digest of repository ghcr.io/acme/router is not plain text on one line"},
		{"flow", "a: {image: ghcr.io/acme/router:v1}\n", "f.yaml:1: ghcr.io/acme/router is not written as image: REFERENCE, which is not rewritten: make the file with Render, or write ghcr.io/acme/router@sha256:aaaa yourself"},
		{"flow on several lines", "a: {\n  image: ghcr.io/acme/router:v1,\n  b: c }\n", "f.yaml:2: ghcr.io/acme/router is not written as image: REFERENCE"},
		{"block", "image: ghcr.io/acme/router\na: |\n  image: ghcr.io/acme/router:v1\n", "f.yaml:3: ghcr.io/acme/router is in text of several lines"},
		{"argument", "args:\n- --image=ghcr.io/acme/router:v1\n", "f.yaml:2: ghcr.io/acme/router is not written as"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := Rewrite("f.yaml", tt.text, published)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v\nwant %s", err, tt.want)
			}
		})
	}
}
