package buildlib

import (
	"reflect"
	"slices"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Whatever a plan holds for an image and its platforms, mage plan prints.
func TestPrintEachField(t *testing.T) {
	hidden := []string{
		"ImagePlan.Annotations", "PlatformPlan.Annotations", // the labels, and what is of every image
		"ImagePlan.Build",     // a digest of what is printed
		"ImagePlan.EmptyTags", // only where there is no tag
		"PlacedBinary.Binary", "PackageLock.Base", "PackageLock.Digest", "PackageLock.Wanted",
		"LockedPackage.URL", "LockedPackage.SHA256", "LockedPackage.Size",
	}
	// What multimage sets of a configuration; the user and the rest come with the base's.
	set := []string{"Cmd", "Healthcheck", "Entrypoint", "Env", "Labels", "Volumes", "WorkingDir", "ExposedPorts", "StopSignal"}
	// A plan whose parts are there, or nothing of them would be printed.
	whole := func() *Plan {
		p := &Plan{ImagePlans: []ImagePlan{{
			Name: "server", Repositories: []string{"ghcr.io/acme/server"}, Tags: []string{"v1"},
			Platforms: []PlatformPlan{{
				Platform: Platform{"linux", "amd64", ""}, Base: "alpine", Binaries: []PlacedBinary{{Path: "/server"}}, Files: []File{{Source: "a", Path: "/a"}},
				Packages: []string{"tzdata"}, Lock: &PackageLock{Packages: []LockedPackage{{Name: "tzdata"}}},
			}},
		}}}
		p.ImagePlans[0].Platforms[0].Config.Entrypoint = []string{"/server"}
		p.ImagePlans[0].Platforms[0].Config.Healthcheck = &v1.HealthConfig{Test: []string{"CMD", "/server"}}
		return p
	}
	seen := map[string]bool{}
	var each func(at func(*Plan) reflect.Value)
	each = func(at func(*Plan) reflect.Value) {
		switch v := at(whole()); v.Kind() {
		case reflect.Pointer, reflect.Slice:
			if v.Kind() == reflect.Slice && v.Len() > 0 {
				each(func(p *Plan) reflect.Value { return at(p).Index(0) })
			} else if v.Kind() == reflect.Pointer && !v.IsNil() {
				each(func(p *Plan) reflect.Value { return at(p).Elem() })
			}
		case reflect.Struct:
			for i := range v.NumField() {
				of := v.Type().Name()
				if f := v.Type().Field(i); of == "Config" && !slices.Contains(set, f.Name) || slices.Contains(hidden, of+"."+f.Name) {
					continue
				} else if !f.IsExported() {
					continue
				}
				each(func(p *Plan) reflect.Value { return at(p).Field(i) })
				name := of + "." + v.Type().Field(i).Name
				if field := v.Field(i); field.Kind() == reflect.Struct || field.Kind() == reflect.Slice && field.Len() > 0 && field.Index(0).Kind() == reflect.Struct {
					continue
				}
				p := whole()
				fill(t, at(p).Field(i))
				seen[name] = true
				if p.String() == whole().String() {
					t.Errorf("%s isn't printed", name)
				}
			}
		}
	}
	each(func(p *Plan) reflect.Value { return reflect.ValueOf(p).Elem().FieldByName("ImagePlans") })
	for _, name := range []string{"ImagePlan.Tags", "PlatformPlan.CACerts", "File.Mode", "HealthConfig.Retries", "User.Home", "Config.StopSignal"} {
		if !seen[name] {
			t.Errorf("%s wasn't tried: %v", name, seen)
		}
	}
}

// fill makes v another value than it was.
func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		v.SetString("other")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(7 * time.Second))
	case reflect.Uint32:
		v.SetUint(0o640)
	case reflect.Slice:
		v.Set(reflect.Append(v, reflect.New(v.Type().Elem()).Elem()))
		fill(t, v.Index(v.Len()-1))
	case reflect.Map:
		key := reflect.New(v.Type().Key()).Elem()
		fill(t, key)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, reflect.Zero(v.Type().Elem()))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Struct:
		fill(t, v.Field(0))
	default:
		t.Fatalf("fill can't make a %s", v.Type())
	}
}
