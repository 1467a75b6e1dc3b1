package image

import (
	"reflect"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestCommand(t *testing.T) {
	base := &v1.ConfigFile{Config: v1.Config{Entrypoint: []string{"/init"}, Cmd: []string{"base"}}}
	own := v1.Config{Entrypoint: []string{"/x"}, Cmd: []string{"c"}}
	for name, c := range map[string]struct {
		spec            Spec
		entrypoint, cmd []string
	}{
		"its own":                    {Spec{Config: own}, own.Entrypoint, own.Cmd},
		"none":                       {Spec{}, nil, nil},
		"the base's":                 {Spec{BaseEntrypoint: true, BaseCmd: true}, []string{"/init"}, []string{"base"}},
		"the base's entrypoint":      {Spec{Config: v1.Config{Cmd: own.Cmd}, BaseEntrypoint: true}, []string{"/init"}, own.Cmd},
		"the base's arguments":       {Spec{Config: v1.Config{Entrypoint: own.Entrypoint}, BaseCmd: true}, own.Entrypoint, []string{"base"}},
		"the base's entrypoint only": {Spec{BaseEntrypoint: true}, []string{"/init"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.spec.config(base).Config
			if !reflect.DeepEqual(got.Entrypoint, c.entrypoint) || !reflect.DeepEqual(got.Cmd, c.cmd) {
				t.Errorf("got %q %q, want %q %q", got.Entrypoint, got.Cmd, c.entrypoint, c.cmd)
			}
		})
	}
}

func TestEnv(t *testing.T) {
	for name, c := range map[string]struct{ base, env, want []string }{
		"joined":      {[]string{"A=1"}, []string{"B=2"}, []string{"A=1", "B=2"}},
		"replaced":    {[]string{"A=1", "B=1"}, []string{"C=3", "A=2"}, []string{"A=2", "B=1", "C=3"}},
		"last counts": {[]string{"A=1", "A=2"}, []string{"A=3", "B=1", "B=2"}, []string{"A=1", "A=3", "B=2"}},
		"empty value": {nil, []string{"A="}, []string{"A="}},
		"no base env": {nil, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := join(c.base, c.env, "linux"); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// withConfig is an image with another config.
type withConfig struct {
	v1.Image
	config []byte
}

func (w withConfig) RawConfigFile() ([]byte, error) { return w.config, nil }

// The start interval, which ggcr doesn't know, is written, and taken from a base.
func TestHealthcheck(t *testing.T) {
	own := mustImage(t, Spec{
		Base:          baseOf(t, func(*v1.ConfigFile) {}),
		StartInterval: time.Second,
		Config: v1.Config{
			Labels:      map[string]string{"a": `"Healthcheck":{}`},
			Healthcheck: &v1.HealthConfig{Test: []string{"CMD", "/a", "<&>"}, Retries: 3},
		},
	})
	raw, err := own.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	const want = `"Healthcheck":{"Test":["CMD","/a","\u003c\u0026\u003e"],"Retries":3,"StartInterval":1000000000}`
	if !strings.Contains(string(raw), want) {
		t.Errorf("config %s, want %s in it", raw, want)
	}
	for name, c := range map[string]struct {
		check *v1.HealthConfig
		want  string
	}{
		"the base's": {nil, `"Test":["CMD","/a","\u003c\u0026\u003e"],"Retries":3,"StartInterval":1000000000}`},
		"another":    {&v1.HealthConfig{Test: []string{"NONE"}}, `"Healthcheck":{"Test":["NONE"]}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := mustImage(t, Spec{Base: withConfig{own, raw}, Config: v1.Config{Healthcheck: c.check}}).RawConfigFile()
			if err != nil || !strings.Contains(string(got), c.want) {
				t.Errorf("config %s, %v, want %s in it", got, err, c.want)
			}
		})
	}
}

func TestPortsAndVolumes(t *testing.T) {
	none := struct{}{}
	base := baseOf(t, func(c *v1.ConfigFile) {
		c.Config.ExposedPorts = map[string]struct{}{"22/tcp": none}
		c.Config.Volumes = map[string]struct{}{"/data": none}
		c.Config.StopSignal = "SIGINT"
	})
	img := mustImage(t, Spec{
		Base: base, Config: v1.Config{
			ExposedPorts: map[string]struct{}{"8080/tcp": none, "53/udp": none}, Volumes: map[string]struct{}{"/cache": none},
		},
	})
	c := configOf(t, img).Config
	if want := map[string]struct{}{"22/tcp": none, "8080/tcp": none, "53/udp": none}; !reflect.DeepEqual(c.ExposedPorts, want) {
		t.Errorf("ports %v", c.ExposedPorts)
	}
	if want := map[string]struct{}{"/data": none, "/cache": none}; !reflect.DeepEqual(c.Volumes, want) {
		t.Errorf("volumes %v", c.Volumes)
	}
	if c.StopSignal != "SIGINT" {
		t.Errorf("stop signal %q", c.StopSignal)
	}
	if len(configOf(t, base).Config.ExposedPorts) != 1 {
		t.Error("the base's config was changed")
	}
}

func TestBaseLabels(t *testing.T) {
	got := labels(
		map[string]string{"org.opencontainers.image.url": "x", "a": "b", "c": "d", "dropped": "e", "empty": ""},
		map[string]string{"a": "own", "dropped": "", "unknown": ""})
	if want := map[string]string{"a": "own", "c": "d", "empty": ""}; !reflect.DeepEqual(got, want) {
		t.Errorf("labels %v, want %v", got, want)
	}
}
