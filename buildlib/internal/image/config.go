package image

import (
	"cmp"
	"fmt"
	"maps"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// ociKeys start the keys by which an image tells what it is (OCI image spec,
// annotations.md).
const ociKeys = "org.opencontainers."

// defaultPath is the PATH of an image that has none from a base: what runtimes
// assume anyway.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// config returns the config of the image but for its layers (OCI image spec,
// config.md). Of the base's, only what containers are run by is kept, and not
// what tells of its build.
func (s *Spec) config(base *v1.ConfigFile) (*v1.ConfigFile, error) {
	var from v1.Config
	if base != nil {
		from = base.Config
	}
	c := v1.Config{
		User:        s.User,
		WorkingDir:  cmp.Or(s.WorkDir, from.WorkingDir),
		StopSignal:  cmp.Or(s.StopSignal, from.StopSignal),
		Labels:      s.labels(from.Labels),
		Healthcheck: from.Healthcheck,
		Shell:       from.Shell,
	}
	c.Entrypoint, c.Cmd = s.command(from)
	var err error
	if c.Env, err = s.env(from.Env); err != nil {
		return nil, err
	}
	if c.ExposedPorts, err = joinPorts(from.ExposedPorts, s.Ports); err != nil {
		return nil, err
	}
	c.Volumes = joinVolumes(from.Volumes, s.Volumes)
	p := normalized(s.Platform)
	return &v1.ConfigFile{
		Created:      v1.Time{Time: s.created()},
		OS:           p.OS,
		Architecture: p.Architecture,
		Variant:      p.Variant,
		OSVersion:    p.OSVersion,
		OSFeatures:   p.OSFeatures,
		Config:       c,
		RootFS:       v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{}},
	}, nil
}

// command returns the entrypoint and its arguments. An entrypoint of the
// image's own drops the base's arguments, which were for another program, as
// a Dockerfile's does.
func (s *Spec) command(from v1.Config) (entrypoint, cmd []string) {
	entrypoint, cmd = s.Entrypoint, s.Cmd
	switch {
	case s.BaseCommand || entrypoint == nil && len(s.Binaries) == 0:
		if entrypoint == nil {
			entrypoint = from.Entrypoint
		}
		if cmd == nil {
			cmd = from.Cmd
		}
	case entrypoint == nil:
		entrypoint = []string{s.Binaries[0]}
	}
	return entrypoint, cmd
}

// env joins the image's variables to the base's: one that the base has is
// replaced where it is.
func (s *Spec) env(from []string) ([]string, error) {
	if s.Base == nil {
		from = []string{defaultPath}
	}
	list := append([]string(nil), from...)
	at := map[string]int{}
	for i, kv := range list {
		key, _, _ := strings.Cut(kv, "=")
		at[key] = i // of two, programs see the last
	}
	for _, kv := range s.Env {
		key, _, ok := strings.Cut(kv, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("env %q: is not KEY=VALUE", kv)
		}
		if i, ok := at[key]; ok {
			list[i] = kv
			continue
		}
		at[key] = len(list)
		list = append(list, kv)
	}
	return list, nil
}

// joinPorts joins ports, each PORT[-PORT][/PROTOCOL], to the base's.
func joinPorts(from map[string]struct{}, ports []string) (map[string]struct{}, error) {
	all := maps.Clone(from)
	for _, port := range ports {
		numbers, protocol, ok := strings.Cut(port, "/")
		if !ok {
			protocol = "tcp"
		}
		first, last, ok := strings.Cut(numbers, "-")
		if !ok {
			last = first
		}
		a, errA := strconv.ParseUint(first, 10, 16)
		b, errB := strconv.ParseUint(last, 10, 16)
		if errA != nil || errB != nil || a == 0 || b < a {
			return nil, fmt.Errorf("port %q: is not PORT[-PORT][/PROTOCOL] with numbers from 1 to 65535", port)
		}
		if protocol != "tcp" && protocol != "udp" && protocol != "sctp" {
			return nil, fmt.Errorf("port %q: the protocol is tcp, udp or sctp", port)
		}
		for n := a; n <= b; n++ {
			set(&all, fmt.Sprintf("%d/%s", n, protocol), struct{}{})
		}
	}
	return all, nil
}

func joinVolumes(from map[string]struct{}, volumes []string) map[string]struct{} {
	all := maps.Clone(from)
	for _, v := range volumes {
		set(&all, v, struct{}{})
	}
	return all
}

// labels joins the image's labels to the base's. What the base says of itself
// by OCI's keys (its title, version, licenses, ...) isn't true of the image.
func (s *Spec) labels(from map[string]string) map[string]string {
	var all map[string]string
	for k, v := range from {
		if !strings.HasPrefix(k, ociKeys) {
			set(&all, k, v)
		}
	}
	for k, v := range s.Labels {
		set(&all, k, v)
	}
	return all
}

// set makes the map if there is none: an empty one must not show in JSON.
func set[V any](m *map[string]V, key string, value V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[key] = value
}

// normalized is the platform as images spell it: arm64 is v8 unless it says
// otherwise.
func normalized(p v1.Platform) v1.Platform {
	if p.Architecture == "arm64" && p.Variant == "v8" {
		p.Variant = ""
	}
	p.Features = nil // no longer in the spec
	return p
}
