package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/multimage/multimage/buildlib"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// tellMain says as whom and where it runs, what it finds, and whether it can write
// to the folders it is given. It is healthy once it has said so.
const tellMain = `package main

import (
	"fmt"
	"os"
	"runtime"
	"time"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--healthy" {
		if _, err := os.Stat("said"); err != nil {
			os.Exit(1)
		}
		return
	}
	wd, _ := os.Getwd()
	fmt.Println(program, runtime.GOARCH, os.Getuid(), os.Getgid(), wd, os.Getenv("BUILT_FOR"))
	for _, arg := range os.Args[1:] {
		if arg == "--wait" {
			fmt.Println(os.WriteFile("said", nil, 0o644))
			time.Sleep(time.Hour)
		}
		if data, err := os.ReadFile(arg); err == nil {
			fmt.Printf("%s %s\n", arg, data)
			continue
		}
		fmt.Println(arg, os.WriteFile(arg+"/written", nil, 0o644))
	}
}
`

// TestConfigInDocker runs images whose configuration is that of Dockerfiles, and
// variants of them in one repository, on two platforms, each of which has a binary
// of its own under one name.
func TestConfigInDocker(t *testing.T) {
	t.Parallel()
	registry := testenv.Registry(t, testenv.RegistryOptions{}).Host
	engine := docker(t, registry)
	testenv.Binfmt(t, "amd64", "arm64")
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	base := testenv.Alpine(t)
	base.Platforms = []string{"linux/amd64", "linux/arm64/v8"}
	testenv.Push(t, registry+"/base:1", base.Index(t))

	dir := filepath.Join(t.TempDir(), "tell")
	files, err := goModule(root, "tell")
	if err != nil {
		t.Fatal(err)
	}
	files["magefiles/magefile.go"] = statMagefile
	files["conf/a.conf"], files["conf/b.conf"], files["conf/c.txt"] = "a", "b", "c"
	for _, name := range []string{"big", "small"} {
		files["cmd/"+name+"/main.go"] = tellMain
		files["cmd/"+name+"/name.go"] = "package main\n\nconst program = \"" + name + "\"\n"
	}
	for name, content := range files {
		writeFile(t, filepath.Join(dir, name), content)
	}
	e := openExample(t, root, dir)
	config, err := json.Marshal(buildlib.Project{
		Registries: []string{registry + "/acme"},
		Binaries: []buildlib.Binary{
			{Name: "tell", Package: "./cmd/big", Platforms: []string{"linux/amd64"}},
			{Name: "tell", Package: "./cmd/small", Platforms: []string{"linux/arm64"}},
		},
		Images: []buildlib.Image{{
			Name: "tell", Base: registry + "/base:1", Aliases: []string{"told"}, PlatformTags: []string{"{{.Version}}-{{.Arch}}"},
			User: buildlib.User{Name: "tell", UID: 1234}, WorkDir: "/work", Volumes: []string{"/data"}, StopSignal: "SIGINT",
			Env: []string{"BUILT_FOR={{.Platform}}"}, Cmd: []string{"/etc/tell/{{.Arch}}", "/etc/tell/a.conf", "/data", "/etc/tell"},
			Files: []buildlib.File{{Source: "conf/*.conf", Path: "/etc/tell/"}, {Source: "conf/c.txt", Path: "/etc/tell/{{.Arch}}"}},
			Healthcheck: buildlib.Healthcheck{
				Test: []string{"CMD", "/usr/local/bin/tell", "--healthy"}, Interval: time.Second, StartPeriod: time.Minute, StartInterval: 100 * time.Millisecond,
			},
			Labels: map[string]string{"org.opencontainers.image.source": "", "base.example/kept": ""},
		}, {
			Name: "tell-scratch", Repository: "tell", Tags: []string{"{{.Version}}-scratch"}, Binaries: []string{"tell"},
			User: buildlib.User{UID: 4242}, WorkDir: "/work", Volumes: []string{"/data"}, Cmd: []string{"/work", "/data", "/etc"},
		}, {
			Name: "plain", Binaries: []string{"tell"}, Platforms: []string{"linux/arm64"}, Tags: []string{}, PlatformTags: []string{"{{.Version}}"},
			Files: []buildlib.File{{Path: "/mine", UID: 65532, GID: 65532}}, Cmd: []string{"/mine"},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	e.env = append(e.env, "STAT_PROJECT="+string(config))
	published := e.mage(t, "manifest")

	pulled := func(platform, name string) string {
		ref := registry + "/acme/" + name
		engine.pull(t, platform, ref)
		return ref
	}
	const refused = "open %/written: permission denied"
	for platform, program := range map[string]string{"linux/amd64": "big amd64", "linux/arm64": "small arm64"} {
		arch := strings.TrimPrefix(platform, "linux/")
		want := program + " 1234 1234 /work " + platform + "\n/etc/tell/" + arch + " c\n/etc/tell/a.conf a\n/data <nil>\n/etc/tell " + strings.Replace(refused, "%", "/etc/tell", 1)
		for _, name := range []string{"tell:v1.2.3", "told:v1.2.3", "tell:v1.2.3-" + arch} {
			wantText(t, platform+" "+name, engine.run(t, "--platform="+platform, pulled(platform, name)), want)
		}
		want = program + " 4242 4242 /work \n/work <nil>\n/data <nil>\n/etc " + strings.Replace(refused, "%", "/etc", 1)
		wantText(t, platform+" scratch", engine.run(t, "--platform="+platform, pulled(platform, "tell:v1.2.3-scratch")), want)
		e.wantHealthy(t, engine, platform, registry+"/acme/tell:v1.2.3")
	}
	// Of what is no index, an engine needn't choose: there is one.
	plain := registry + "/acme/plain:v1.2.3"
	run(t, "", engine.env, "docker", "pull", "--quiet", plain)
	wantText(t, plain, engine.run(t, plain), "small arm64 65532 65532 / \n/mine <nil>")
	images := e.images(t)
	digest := images[slices.IndexFunc(images, func(i buildlib.ImageResult) bool { return i.Name == "plain" })].Platforms[0].Digest
	if want := registry + "/acme/plain@" + digest.String(); !slices.Contains(published, want) {
		t.Errorf("manifest printed %q, want %s in it", published, want)
	}
	labels := run(t, "", engine.env, "docker", "image", "inspect", "--format={{json .Config.Labels}} {{.Config.StopSignal}}", registry+"/acme/tell:v1.2.3")
	if strings.Contains(labels, "image.source") || strings.Contains(labels, "kept") || !strings.Contains(labels, "image.title") || !strings.Contains(labels, "} SIGINT") {
		t.Errorf("the engine has labels and stop signal %s", labels)
	}
}

// wantHealthy waits for the container's own health check.
func (e *example) wantHealthy(t *testing.T, engine container, platform, ref string) {
	t.Helper()
	id := engine.run(t, "--detach", "--platform="+platform, ref, "--wait")
	defer func() { run(t, "", engine.env, "docker", "rm", "--force", "--volumes", id) }()
	var state string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		state = strings.TrimSpace(run(t, "", engine.env, "docker", "inspect", "--format={{.State.Health.Status}}", id))
		if state == "healthy" {
			return
		}
	}
	t.Errorf("%s %s is %s: %s", platform, ref, state, run(t, "", append(os.Environ(), engine.env...), "docker", "logs", id))
}
