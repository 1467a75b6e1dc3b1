package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Containerd starts a containerd without Kubernetes' plugin, and returns the
// arguments that lead ctr to it.
func Containerd(t testing.TB) []string {
	t.Helper()
	Require(t, "containerd")
	if os.Getuid() != 0 {
		Missing(t, "containerd", "starting it takes root")
	}
	dir, err := os.MkdirTemp("", "containerd-") // a socket's path has to be short
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket, config := filepath.Join(dir, "sock"), filepath.Join(dir, "config.toml")
	must(t, os.WriteFile(config, fmt.Appendf(nil, `version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = %q
`, dir+"/root", dir+"/state", socket), 0o600))
	c, err := start(exec.Command("containerd", "--config", config))
	must(t, err)
	t.Cleanup(func() { c.stop(30 * time.Second) })
	ctr := []string{"--address", socket}
	must(t, c.await(time.Minute, func() error { return exec.Command("ctr", append(ctr, "version")...).Run() }))
	return ctr
}
