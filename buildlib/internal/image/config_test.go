package image

import (
	"reflect"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
)

func TestCommand(t *testing.T) {
	base := v1.Config{Entrypoint: []string{"/init"}, Cmd: []string{"base"}}
	bin := []string{"/app", "/ctl"}
	none := []string{}
	for name, c := range map[string]struct {
		spec            Spec
		entrypoint, cmd []string
	}{
		"defaults":                    {Spec{Binaries: bin}, []string{"/app"}, nil},
		"no binaries":                 {Spec{}, []string{"/init"}, []string{"base"}},
		"no binaries, own cmd":        {Spec{Cmd: []string{"c"}}, []string{"/init"}, []string{"c"}},
		"no binaries, own entrypoint": {Spec{Entrypoint: []string{"/x"}}, []string{"/x"}, nil},
		"entrypoint":                  {Spec{Binaries: bin, Entrypoint: []string{"/x", "y"}}, []string{"/x", "y"}, nil},
		"no entrypoint":               {Spec{Binaries: bin, Entrypoint: none}, none, nil},
		"no entrypoint, cmd":          {Spec{Binaries: bin, Entrypoint: none, Cmd: []string{"c"}}, none, []string{"c"}},
		"cmd":                         {Spec{Binaries: bin, Cmd: []string{"c"}}, []string{"/app"}, []string{"c"}},
		"no cmd":                      {Spec{Binaries: bin, Cmd: none}, []string{"/app"}, none},
		"base's both":                 {Spec{Binaries: bin, BaseCommand: true}, []string{"/init"}, []string{"base"}},
		"base's entrypoint, own cmd":  {Spec{Binaries: bin, BaseCommand: true, Cmd: []string{"c"}}, []string{"/init"}, []string{"c"}},
		"base's entrypoint, no cmd":   {Spec{Binaries: bin, BaseCommand: true, Cmd: none}, []string{"/init"}, none},
		"own entrypoint, base's cmd":  {Spec{Binaries: bin, BaseCommand: true, Entrypoint: []string{"/x"}}, []string{"/x"}, []string{"base"}},
	} {
		t.Run(name, func(t *testing.T) {
			e, c2 := c.spec.command(base)
			if !reflect.DeepEqual(e, c.entrypoint) || !reflect.DeepEqual(c2, c.cmd) {
				t.Errorf("got %q %q, want %q %q", e, c2, c.entrypoint, c.cmd)
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
			s := Spec{Base: empty.Image, Env: c.env}
			got, err := s.env(c.base)
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
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
		Base: base, Ports: []string{"8080", "53/udp", "9000-9001"}, Volumes: []string{"/cache"},
	})
	c := configOf(t, img).Config
	if want := map[string]struct{}{"22/tcp": none, "8080/tcp": none, "53/udp": none, "9000/tcp": none, "9001/tcp": none}; !reflect.DeepEqual(c.ExposedPorts, want) {
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
	s := Spec{Labels: map[string]string{"a": "own"}}
	got := s.labels(map[string]string{"org.opencontainers.image.url": "x", "a": "b", "c": "d"})
	if want := map[string]string{"a": "own", "c": "d"}; !reflect.DeepEqual(got, want) {
		t.Errorf("labels %v, want %v", got, want)
	}
}
