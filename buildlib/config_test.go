package buildlib

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestCheckPort(t *testing.T) {
	for port, ok := range map[string]bool{
		"80": true, "1": true, "65535": true, "8080/tcp": true, "53/udp": true, "3868/sctp": true,
		"9000-9010": true, "9000-9010/udp": true, "9000-9000": true,
		"": false, "0": false, "65536": false, "-1": false, "+80": false, "80 ": false, "http": false, "0x50": false,
		"80/": false, "80/http": false, "80/TCP": false, "/tcp": false, "80:80": false, "127.0.0.1:80": false,
		"9010-9000": false, "9000-": false, "-9000": false, "1-2-3": false, "80/tcp/udp": false,
	} {
		_, err := expose(port)
		if (err == nil) != ok {
			t.Errorf("port %q: %v, want it right: %v", port, err, ok)
		}
		if err != nil && !strings.Contains(err.Error(), fmt.Sprintf("port %q", port)) {
			t.Errorf("port %q: error %v doesn't name it", port, err)
		}
	}
}

func TestIsSignal(t *testing.T) {
	for signal, want := range map[string]bool{
		"SIGTERM": true, "TERM": true, "SIGQUIT": true, "15": true, "1": true, "64": true,
		"SIGRTMIN": true, "RTMIN+3": true, "SIGRTMAX-14": true, "SIGRTMIN+30": true,
		"0": false, "65": false, "-15": false, "": false, "sigterm": false, "SIGSIGTERM": false, "SIGNOPE": false,
		"SIGRTMIN+31": false, "SIGRTMAX+1": false, "15 ": false,
	} {
		if got := isSignal(signal); got != want {
			t.Errorf("isSignal(%q) = %v, want %v", signal, got, want)
		}
	}
}

func TestImagePath(t *testing.T) {
	for _, tt := range []struct {
		path, want string
		ok         bool
	}{
		{"", "", false},
		{"/", "/", true},
		{"/usr/local/bin", "/usr/local/bin", true},
		{"/usr//local/./bin/", "/usr/local/bin", true},
		{"/with space/..name", "/with space/..name", true},
		{"usr/bin", "", false},
		{"./bin", "", false},
		{"~/bin", "", false},
		{"/usr/../etc", "", false},
		{"/..", "", false},
		{"/usr/\x00", "", false},
		{`C:\bin`, "", false},
		{" ", "", false},
	} {
		r := &resolver{}
		got := r.imagePath("Images[0].WorkDir", tt.path)
		if got != tt.want || (len(r.mistakes) == 0) != tt.ok {
			t.Errorf("imagePath(%q) = %q, %v, want %q, right: %v", tt.path, got, r.mistakes, tt.want, tt.ok)
		}
	}
}

func TestCheckUser(t *testing.T) {
	for _, tt := range []struct {
		user User
		want string // the field that is wrong; empty: none
	}{
		{User{}, ""},
		{User{Name: "router"}, ""},
		{User{Name: "root"}, ""},
		{User{Name: "router", UID: 1000, GID: 1001, Home: "/var/lib/router"}, ""},
		{User{UID: 65532}, ""},
		{User{UID: 1000, GID: 0}, ""},
		{User{Name: "_apt-get"}, ""},
		{User{Name: "machine$"}, ""},
		{User{UID: 1<<32 - 2}, ""},

		{User{Name: "Router"}, "Name"},
		{User{Name: "a:b"}, "Name"},
		{User{Name: "a b"}, "Name"},
		{User{Name: "a\nroot::0:0"}, "Name"},
		{User{Name: "1000"}, "Name"},
		{User{Name: "-a"}, "Name"},
		{User{Name: strings.Repeat("a", 33)}, "Name"},
		{User{Name: "a", UID: -1}, "UID"},
		{User{Name: "a", UID: 1<<32 - 1}, "UID"}, // (uid_t)-1
		{User{Name: "a", GID: -5}, "GID"},
		{User{GID: 5}, ""},
		{User{UID: 5, Home: "/home/x"}, "Home"},
		{User{Name: "a", Home: "home"}, "Home"},
		{User{Name: "a", Home: "/home/../etc"}, "Home"},
	} {
		t.Run(fmt.Sprintf("%+v", tt.user), func(t *testing.T) {
			r := &resolver{}
			r.checkUser(&draft{Image: Image{User: tt.user}, field: "Images[0]"})
			said := fmt.Sprint(r.mistakes)
			switch {
			case tt.user == User{GID: 5}: // whom it is the group of is not said
				if !strings.HasPrefix(said, "[Images[0].User: has a GID or Home, and neither Name nor UID") {
					t.Errorf("mistakes %s", said)
				}
			case tt.want == "" && len(r.mistakes) > 0, tt.want != "" && !strings.Contains(said, "Images[0].User."+tt.want+": "):
				t.Errorf("mistakes %s, want %q", said, tt.want)
			}
		})
	}
}

func TestParsePlatform(t *testing.T) {
	known := []string{"linux/386", "linux/amd64", "linux/arm", "linux/arm64", "linux/riscv64", "windows/amd64", "darwin/arm64", "linux/s390x"}
	for _, tt := range []struct{ text, want, env string }{
		{"linux/amd64", "linux/amd64", "GOAMD64=v1"},
		{"linux/amd64/v1", "linux/amd64", "GOAMD64=v1"},
		{"linux/x86_64", "linux/amd64", "GOAMD64=v1"},
		{"Linux/AMD64/V3", "linux/amd64/v3", "GOAMD64=v3"},
		{"linux/arm64/v8", "linux/arm64", "GOARM64=v8.0"},
		{"linux/aarch64", "linux/arm64", "GOARM64=v8.0"},
		{"linux/arm64/v9", "linux/arm64/v9", "GOARM64=v9.0"},
		{"linux/arm", "linux/arm/v7", "GOARM=7"},
		{"linux/armhf", "linux/arm/v7", "GOARM=7"},
		{"linux/armel", "linux/arm/v6", "GOARM=6"},
		{"linux/arm/v5", "linux/arm/v5", "GOARM=5"},
		{"linux/arm/7", "linux/arm/v7", "GOARM=7"},
		{"linux/i386", "linux/386", "GO386=sse2"},
		{"linux/riscv64", "linux/riscv64", "GORISCV64=rva20u64"},
		{"macos/arm64", "darwin/arm64", "GOARM64=v8.0"},
		{"windows/amd64", "windows/amd64", "GOAMD64=v1"},
	} {
		p, err := parsePlatform(tt.text, known)
		if err != nil || p.String() != tt.want || !strings.Contains(strings.Join(platformEnv(p), " ")+" ", tt.env+" ") {
			t.Errorf("%s is %s with %v, %v, want %s with %s", tt.text, p, platformEnv(p), err, tt.want, tt.env)
		}
	}
}

// What an image runs: its first binary, unless it says otherwise; the base's own
// where it is asked for, or where there is nothing else.
func TestCommand(t *testing.T) {
	bin, none := []PlacedBinary{{Path: "/app"}, {Path: "/ctl"}}, []string{}
	for name, c := range map[string]struct {
		binaries                []PlacedBinary
		img                     Image
		entrypoint, cmd         []string
		baseEntrypoint, baseCmd bool
	}{
		"defaults":                    {bin, Image{}, []string{"/app"}, nil, false, false},
		"no binaries":                 {nil, Image{}, nil, nil, true, true},
		"no binaries, own cmd":        {nil, Image{Cmd: []string{"c"}}, nil, []string{"c"}, true, false},
		"no binaries, own entrypoint": {nil, Image{Entrypoint: []string{"/x"}}, []string{"/x"}, nil, false, false},
		"entrypoint":                  {bin, Image{Entrypoint: []string{"/x", "y"}}, []string{"/x", "y"}, nil, false, false},
		"no entrypoint":               {bin, Image{Entrypoint: none}, none, nil, false, false},
		"no entrypoint, cmd":          {bin, Image{Entrypoint: none, Cmd: []string{"c"}}, none, []string{"c"}, false, false},
		"cmd":                         {bin, Image{Cmd: []string{"c"}}, []string{"/app"}, []string{"c"}, false, false},
		"no cmd":                      {bin, Image{Cmd: none}, []string{"/app"}, none, false, false},
		"base's both":                 {bin, Image{BaseCommand: true}, nil, nil, true, true},
		"base's entrypoint, own cmd":  {bin, Image{BaseCommand: true, Cmd: []string{"c"}}, nil, []string{"c"}, true, false},
		"base's entrypoint, no cmd":   {bin, Image{BaseCommand: true, Cmd: none}, nil, none, true, false},
		"own entrypoint, base's cmd":  {bin, Image{BaseCommand: true, Entrypoint: []string{"/x"}}, []string{"/x"}, nil, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			pp := PlatformPlan{Binaries: c.binaries}
			pp.command(c.img)
			if !slices.Equal(pp.Config.Entrypoint, c.entrypoint) || !slices.Equal(pp.Config.Cmd, c.cmd) ||
				pp.BaseEntrypoint != c.baseEntrypoint || pp.BaseCmd != c.baseCmd {
				t.Errorf("got %q (the base's: %v) %q (%v)", pp.Config.Entrypoint, pp.BaseEntrypoint, pp.Config.Cmd, pp.BaseCmd)
			}
		})
	}
}
