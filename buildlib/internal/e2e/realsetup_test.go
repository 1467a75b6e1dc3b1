package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// adoptedMain says how it runs, and writes where it may.
const adoptedMain = `package main

import (
	"fmt"
	"os"
	"runtime"
)

var version string

func main() {
	wd, _ := os.Getwd()
	page, err := os.ReadFile(os.Getenv("PAGE"))
	if err == nil && os.Getenv("STATE") != "" {
		err = os.WriteFile(os.Getenv("STATE"), page, 0o600)
	}
	fmt.Print(runtime.GOARCH, " ", version, " ", os.Getuid(), " ", wd, " ", os.Getenv("GREETING"), " ", os.Args[1:], " ", err, " ", string(page))
}
`

// adoptions are projects as their users left them, and what their images say.
// HOST is where the bases are.
var adoptions = []struct {
	name  string
	files map[string]string
	image string // below the registry
	want  string // after the architecture
}{
	{name: "service", image: "acme/app:v1.2.3", want: " v1.2.3 10001 /srv/app hello {{you}} [-a b c] <nil> hello", files: map[string]string{
		"main.go":        adoptedMain,
		"web/index.html": "hello\n",
		"Dockerfile": `ARG REGISTRY=HOST
FROM golang:1.24 AS build
WORKDIR /src
COPY . .
ARG VERSION
RUN go build -ldflags "-X main.version=$VERSION" -o /out/server .
FROM ${REGISTRY}/alpine:3
RUN adduser -D -u 10001 app && mkdir -p /var/lib/app && chown app /var/lib/app
WORKDIR /srv/app
COPY --from=build /out/server /srv/app/bin/server
COPY web web
ENV GREETING="hello {{you}}" PAGE=web/index.html STATE=/var/lib/app/state
USER app
ENTRYPOINT ["/srv/app/bin/server"]
CMD ["-a", "b c"]
`,
	}},
	{name: "every instruction", image: "acme/app:v1.2.3", want: " v1.2.3 1001 /app/data hello, {{world}} [/bin/sh -c serve --port $PORT] <nil> hello", files: map[string]string{
		"main.go":        adoptedMain,
		"web/index.html": "hello\n",
		"docs/a.md":      "a\n",
		"docs/b.md":      "b\n",
		"run.sh":         "#!/bin/sh\n",
		".dockerignore":  "docs/b.md\n",
		"Dockerfile": "# escape=`" + `
ARG BASE=HOST/alpine:3
ARG UNUSED
FROM --platform=$BUILDPLATFORM golang:1.24 AS Build
ENV GOBIN=/out
WORKDIR src
COPY --link . .
ARG TARGETARCH
ARG VERSION=dev COMMIT
RUN --mount=type=cache,target=/root/.cache <<EOF
set -e
CGO_ENABLED=0 go install -trimpath -ldflags="-s -w -X 'main.version=${VERSION}'" .
EOF

FROM ${BASE} AS runtime
MAINTAINER Ada <ada@example.com>
RUN apk add --no-cache ca-certificates tzdata && addgroup -S -g 2000 staff2 && adduser -S -D -u 1001 -G staff2 -h /srv/app app

FROM runtime
SHELL ["/bin/sh", "-c"]
ARG TARGETARCH
ENV PORT=8080 GREETING="hello, {{world}}" PAGE=/app/web/index.html
ENV STATE /var/lib/app/state
LABEL org.opencontainers.image.version=$VERSION arch=$TARGETARCH
WORKDIR /app
WORKDIR data
COPY --from=build --chown=app:staff2 --chmod=500 /out/app /app/bin/server
COPY --chown=app:staff2 --chmod=640 web /app/web/
COPY docs/*.md /md/
COPY ["run.sh", "run"]
ADD run.sh /usr/share/run
RUN mkdir -p /var/lib/app && chown -R app:staff2 /var/lib/app
VOLUME /var/lib/app /cache
EXPOSE 8080 $PORT/udp 9000-9001/tcp
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=5s CMD ["/app/bin/server", "-check"]
ONBUILD RUN true
USER app
ENTRYPOINT ["/app/bin/server"]
CMD serve --port $PORT
`,
	}},
	{name: "ko", image: "acme/api:v1.2.3", want: " v1.2.3 0 /  [] <nil> kept", files: map[string]string{
		".ko.yaml": `defaultBaseImage: HOST/alpine:3
defaultPlatforms: [linux/amd64, linux/arm64]
builds:
- id: api
  main: ./cmd/api
  env: [CGO_ENABLED=0]
  ldflags: [-s -w, "-X main.version={{.Git.Tag}}"]
`,
		"cmd/api/main.go":        strings.Replace(adoptedMain, `os.Getenv("PAGE")`, `os.Getenv("KO_DATA_PATH")+"/page"`, 1),
		"cmd/api/kodata/page":    "kept\n",
		"cmd/worker/main.go":     "package main\n\nfunc main() {}\n",
		"internal/gen/gen.go":    "package gen\n",
		"internal/gen/x_test.go": "package gen\n",
	}},
	{name: "goreleaser", image: "acme/tool:1.2.3", want: " 1.2.3 0 /  [] <nil> a: 1", files: map[string]string{
		"main.go":     strings.Replace(adoptedMain, `os.Getenv("PAGE")`, `"/etc/tool/config.yaml"`, 1),
		"config.yaml": "a: 1\n",
		"Dockerfile":  "FROM HOST/alpine:3\nCOPY tool /usr/bin/tool\nCOPY config.yaml /etc/tool/\nENTRYPOINT [\"/usr/bin/tool\"]\n",
		".goreleaser.yaml": `version: 2
project_name: tool
builds:
  - id: tool
    binary: tool
    env: [CGO_ENABLED=0]
    goos: [linux, darwin, windows]
    ldflags: ["-s -w -X main.version={{ .Version }}"]
archives:
  - formats: [tar.gz]
dockers:
  - image_templates: ["HOST/acme/tool:{{ .Version }}-amd64"]
    goarch: amd64
    use: buildx
  - image_templates: ["HOST/acme/tool:{{ .Version }}-arm64"]
    goarch: arm64
    use: buildx
docker_manifests:
  - name_template: "HOST/acme/tool:{{ .Version }}"
    image_templates: ["HOST/acme/tool:{{ .Version }}-amd64", "HOST/acme/tool:{{ .Version }}-arm64"]
`,
	}},
}

// TestSetupInPodman adopts projects by setup alone, and runs their images as
// their users said that they run.
func TestSetupInPodman(t *testing.T) {
	t.Parallel()
	testenv.Require(t, "podman", "registry")
	if os.Getuid() != 0 {
		testenv.Missing(t, "podman", "as another user than root it wants id ranges set up")
	}
	testenv.Binfmt(t, "arm64")
	registry := testenv.Registry(t, testenv.RegistryOptions{})
	testenv.Push(t, registry.Host+"/alpine:3", testenv.Alpine(t).Index(t))
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	own, err := goModule(root, "magefiles")
	if err != nil {
		t.Fatal(err)
	}
	setup, mage := build(t, "setup", "github.com/multimage/multimage/buildlib/setup"), buildMage(t)
	storage := podmanStorage(t, "vfs")
	env := append(os.Environ(), "CONTAINERS_STORAGE_CONF="+storage, "DOCKER_HOST=unix://"+storage+".nobody",
		"MULTIMAGE_CACHE="+t.TempDir(), "MULTIMAGE_VERSION=v1.2.3", "GOWORK=off")
	engine := container{program: "podman", flags: []string{"--cgroup-manager=cgroupfs"}, env: env}
	for _, tt := range adoptions {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "app")
			writeFile(t, filepath.Join(dir, "go.mod"), "module example.com/app\n\ngo 1.24\n")
			for name, content := range tt.files {
				writeFile(t, filepath.Join(dir, name), strings.ReplaceAll(content, "HOST", registry.Host))
			}
			cmd := exec.Command(setup)
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOPROXY=off", "GOWORK=off")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("setup: %v\n%s", err, out)
			}
			for name, content := range own {
				writeFile(t, filepath.Join(dir, "magefiles", name), content)
			}
			run(t, dir, append(env, "MULTIMAGE_REGISTRIES="+registry.Host+"/acme"), mage, "manifest")
			image := registry.Host + "/" + tt.image
			for _, arch := range []string{"amd64", "arm64"} {
				run(t, "", env, "podman", "pull", "--quiet", "--tls-verify=false", "--platform=linux/"+arch, image)
				got := engine.run(t, "--platform=linux/"+arch, "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", image)
				wantText(t, arch, got, arch+tt.want)
			}
		})
	}
}
