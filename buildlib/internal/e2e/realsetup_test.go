package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// TestSetupInPodman adopts a project by setup, and runs its image as the
// Dockerfile says it runs.
func TestSetupInPodman(t *testing.T) {
	testenv.Require(t, "podman", "registry")
	if os.Getuid() != 0 {
		testenv.Missing(t, "podman", "as another user than root it wants id ranges set up")
	}
	testenv.Binfmt(t, "arm64")
	registry := testenv.Registry(t, testenv.RegistryOptions{})
	testenv.Push(t, registry.Host+"/alpine:3", testenv.Alpine(t).Index(t))
	dir := filepath.Join(t.TempDir(), "app")
	for name, content := range map[string]string{
		"go.mod":         "module example.com/app\n\ngo 1.24\n",
		"web/index.html": "hello\n",
		"main.go": `package main

import (
	"fmt"
	"os"
	"runtime"
)

var version string

func main() {
	wd, _ := os.Getwd()
	page, err := os.ReadFile("web/index.html")
	if err == nil {
		err = os.WriteFile("/var/lib/app/state", page, 0o600)
	}
	fmt.Print(runtime.GOARCH, " ", version, " ", os.Getuid(), " ", wd, " ", os.Getenv("GREETING"), " ", os.Args[1:], " ", err, " ", string(page))
}
`,
		"Dockerfile": `ARG REGISTRY=` + registry.Host + `
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
ENV GREETING="hello {{you}}"
USER app
ENTRYPOINT ["/srv/app/bin/server"]
CMD ["-a", "b c"]
`,
	} {
		writeFile(t, filepath.Join(dir, name), content)
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(build(t, "setup", "github.com/multimage/multimage/buildlib/setup"))
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOPROXY=off", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("setup: %v\n%s", err, out)
	}
	own, err := goModule(root, "magefiles")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range own {
		writeFile(t, filepath.Join(dir, "magefiles", name), content)
	}
	storage := podmanStorage(t, "vfs")
	env := append(os.Environ(), "CONTAINERS_STORAGE_CONF="+storage, "DOCKER_HOST=unix://"+storage+".nobody",
		"MULTIMAGE_CACHE="+t.TempDir(), "MULTIMAGE_VERSION=v1.2.3", "GOWORK=off")
	engine := container{program: "podman", flags: []string{"--cgroup-manager=cgroupfs"}, env: env}
	run(t, dir, append(env, "MULTIMAGE_REGISTRIES="+registry.Host+"/acme"), buildMage(t), "manifest")
	image := registry.Host + "/acme/app:v1.2.3"
	for _, arch := range []string{"amd64", "arm64"} {
		run(t, "", env, "podman", "pull", "--quiet", "--tls-verify=false", "--platform=linux/"+arch, image)
		got := engine.run(t, "--platform=linux/"+arch, "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", image)
		wantText(t, arch, got, arch+" v1.2.3 10001 /srv/app hello {{you}} [-a b c] <nil> hello")
	}
}
