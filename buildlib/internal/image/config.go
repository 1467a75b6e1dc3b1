package image

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// ociKeys start the keys by which an image tells what it is (OCI image spec,
// annotations.md).
const ociKeys = "org.opencontainers."

// defaultPath is the PATH of an image that has none from a base: what runtimes
// assume anyway.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// config returns the config of the image but for its layers (OCI image spec,
// config.md). Of the base's, nil for scratch, only what containers are run by is
// kept, and not what tells of its build.
func (s *Spec) config(base *v1.ConfigFile) *v1.ConfigFile {
	from := v1.Config{Env: []string{defaultPath}}
	if base != nil {
		from = base.Config
	}
	c := v1.Config{
		User:         s.Config.User,
		WorkingDir:   cmp.Or(s.Config.WorkingDir, from.WorkingDir),
		StopSignal:   cmp.Or(s.Config.StopSignal, from.StopSignal),
		Healthcheck:  cmp.Or(s.Config.Healthcheck, from.Healthcheck),
		Shell:        from.Shell,
		Entrypoint:   s.Config.Entrypoint,
		Cmd:          s.Config.Cmd,
		Env:          join(from.Env, s.Config.Env, s.Platform.OS),
		ExposedPorts: union(from.ExposedPorts, s.Config.ExposedPorts),
		Volumes:      union(from.Volumes, s.Config.Volumes),
		Labels:       labels(from.Labels, s.Config.Labels),
	}
	if s.BaseEntrypoint {
		c.Entrypoint = from.Entrypoint
	}
	if s.BaseCmd {
		c.Cmd = from.Cmd
	}
	if s.Platform.OS == "windows" {
		// One shell line, which Windows splits, and not a list of words.
		c.ArgsEscaped = from.ArgsEscaped && (s.BaseEntrypoint || s.BaseCmd)
	}
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
	}
}

// startInterval is that of the health check in a config, which v1.HealthConfig
// leaves out.
func startInterval(config []byte) (time.Duration, error) {
	var c struct {
		Config struct {
			Healthcheck struct{ StartInterval time.Duration }
		} `json:"config"`
	}
	err := json.Unmarshal(config, &c)
	return c.Config.Healthcheck.StartInterval, err
}

// marshal is config as JSON, its health check with the start interval.
func marshal(config *v1.ConfigFile, interval time.Duration) ([]byte, error) {
	data, err := json.Marshal(config)
	if err != nil || interval == 0 || config.Config.Healthcheck == nil {
		return data, err
	}
	check, err := json.Marshal(struct {
		*v1.HealthConfig
		StartInterval time.Duration
	}{config.Config.Healthcheck, interval})
	if err != nil {
		return nil, err
	}
	without, err := json.Marshal(config.Config.Healthcheck)
	key := []byte(`"Healthcheck":`) // in a text its quotes would be escaped
	return bytes.Replace(data, append(key, without...), slices.Concat(key, check), 1), err
}

// join joins variables, each KEY=VALUE, to the base's: one that the base has is
// replaced where it is.
func join(from, own []string, os string) []string {
	list := append([]string(nil), from...)
	at := map[string]int{}
	name := func(kv string) string {
		key, _, _ := strings.Cut(kv, "=")
		if os == "windows" {
			return strings.ToUpper(key) // which are one there: Path and PATH
		}
		return key
	}
	for i, kv := range list {
		at[name(kv)] = i // of two, programs see the last
	}
	for _, kv := range own {
		key := name(kv)
		if i, ok := at[key]; ok {
			list[i] = kv
			continue
		}
		at[key] = len(list)
		list = append(list, kv)
	}
	return list
}

// union has the keys of both; nil if there are none, as an empty map would show
// in JSON.
func union[V any](from, own map[string]V) map[string]V {
	if len(from)+len(own) == 0 {
		return nil
	}
	all := map[string]V{}
	maps.Copy(all, from)
	maps.Copy(all, own)
	return all
}

// labels joins the image's labels to the base's. What the base says of itself
// by OCI's keys (its title, version, licenses, ...) isn't true of the image. An
// empty one of the image takes away the base's.
func labels(from, own map[string]string) map[string]string {
	from = maps.Clone(from)
	maps.DeleteFunc(from, func(k, _ string) bool {
		_, replaced := own[k]
		return replaced || strings.HasPrefix(k, ociKeys)
	})
	return union(from, nonEmpty(own))
}

// nonEmpty are the labels or annotations that have a value: an empty one says
// that there is to be none.
func nonEmpty(all map[string]string) map[string]string {
	all = maps.Clone(all)
	maps.DeleteFunc(all, func(_, v string) bool { return v == "" })
	return all
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
