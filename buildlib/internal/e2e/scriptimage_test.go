package e2e

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// open finds an IMAGE; tags are those of a layout.
func open(ts *testscript.TestScript, image string) (index v1.ImageIndex, tags []v1.Descriptor, err error) {
	dir := ts.MkAbs(image)
	if _, err := os.Stat(filepath.Join(dir, "oci-layout")); err != nil {
		return testenv.Pull(of(ts).tb, image), nil, nil
	}
	whole, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, nil, err
	}
	manifest, err := whole.IndexManifest()
	if err != nil {
		return nil, nil, err
	}
	for _, d := range manifest.Manifests {
		if d.Digest != manifest.Manifests[0].Digest && !d.MediaType.IsImage() {
			return nil, nil, fmt.Errorf("%s: index.json names two indexes", image)
		}
	}
	if len(manifest.Manifests) == 0 {
		return nil, nil, fmt.Errorf("%s: index.json is empty", image)
	}
	index, err = whole.ImageIndex(manifest.Manifests[0].Digest)
	return index, manifest.Manifests, err
}

// child finds the image of one platform, as its descriptor has it.
func child(index v1.ImageIndex, platform string) (v1.Descriptor, v1.Image, error) {
	manifest, err := index.IndexManifest()
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	var has []string
	for _, d := range manifest.Manifests {
		name := platformOf(d)
		if name == platform {
			image, err := index.Image(d.Digest)
			return d, image, err
		}
		has = append(has, name)
	}
	return v1.Descriptor{}, nil, fmt.Errorf("no %s in the index, it has %s", platform, strings.Join(has, ", "))
}

func platformOf(d v1.Descriptor) string {
	if d.Platform == nil {
		return "no platform"
	}
	return strings.TrimSuffix(d.Platform.OS+"/"+d.Platform.Architecture+"/"+d.Platform.Variant, "/")
}

// openChild is for commands with the arguments IMAGE PLATFORM.
func openChild(ts *testscript.TestScript, args []string) (v1.Descriptor, v1.Image, error) {
	if len(args) < 2 {
		return v1.Descriptor{}, nil, errors.New("want IMAGE PLATFORM")
	}
	index, _, err := open(ts, args[0])
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	return child(index, args[1])
}

func inspect(ts *testscript.TestScript, args []string) error {
	if len(args) == 1 {
		index, tags, err := open(ts, args[0])
		if err != nil {
			return err
		}
		raw, err := index.RawManifest()
		if err != nil {
			return err
		}
		for _, d := range tags {
			fmt.Fprintf(ts.Stdout(), "tag = %s\n", d.Annotations["org.opencontainers.image.ref.name"])
		}
		return flatten(ts.Stdout(), "index", raw)
	}
	descriptor, image, err := openChild(ts, args)
	if err != nil {
		return err
	}
	manifest, err := image.RawManifest()
	if err != nil {
		return err
	}
	config, err := image.RawConfigFile()
	if err != nil {
		return err
	}
	d, err := json.Marshal(descriptor)
	if err != nil {
		return err
	}
	return errors.Join(
		flatten(ts.Stdout(), "descriptor", d),
		flatten(ts.Stdout(), "manifest", manifest),
		flatten(ts.Stdout(), "config", config))
}

// flatten prints a JSON document as lines: config.config.Cmd[0] = --port=8080
func flatten(w io.Writer, name string, document []byte) error {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return err
	}
	var walk func(string, any)
	walk = func(name string, value any) {
		switch value := value.(type) {
		case map[string]any:
			if len(value) == 0 { // a port, a volume
				fmt.Fprintf(w, "%s = {}\n", name)
			}
			keys := make([]string, 0, len(value))
			for key := range value {
				keys = append(keys, key)
			}
			slices.Sort(keys)
			for _, key := range keys {
				walk(name+"."+key, value[key])
			}
		case []any:
			for i, v := range value {
				walk(fmt.Sprintf("%s[%d]", name, i), v)
			}
		default:
			fmt.Fprintf(w, "%s = %v\n", name, value)
		}
	}
	walk(name, value)
	return nil
}

func digest(ts *testscript.TestScript, args []string) error {
	if len(args) == 2 {
		d, _, err := openChild(ts, args)
		fmt.Fprintln(ts.Stdout(), d.Digest)
		return err
	}
	index, _, err := open(ts, args[0])
	if err != nil {
		return err
	}
	h, err := index.Digest()
	fmt.Fprintln(ts.Stdout(), h)
	return err
}

// manifest reads what a tag leads to, which is no index.
func manifest(ts *testscript.TestScript, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: manifest REFERENCE")
	}
	ref, err := name.ParseReference(args[0])
	if err != nil {
		return err
	}
	d, err := remote.Get(ref)
	if err == nil && !d.MediaType.IsImage() {
		err = fmt.Errorf("%s is a %s", args[0], d.MediaType)
	}
	if err == nil {
		fmt.Fprintln(ts.Stdout(), d.Digest)
	}
	return err
}

func layers(ts *testscript.TestScript, args []string) error {
	index, _, err := open(ts, args[0])
	if err != nil {
		return err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, d := range manifest.Manifests {
		if len(args) == 2 && platformOf(d) != args[1] {
			continue
		}
		image, err := index.Image(d.Digest)
		if err != nil {
			return err
		}
		m, err := image.Manifest()
		if err != nil {
			return err
		}
		for _, l := range m.Layers {
			fmt.Fprintln(ts.Stdout(), platformOf(d), l.Digest)
		}
	}
	return nil
}

// walk visits the entries of all layers in order.
func walk(ts *testscript.TestScript, args []string, visit func(layer int, h *tar.Header, r io.Reader) error) error {
	_, image, err := openChild(ts, args)
	if err != nil {
		return err
	}
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	for i, l := range layers {
		if err := walkLayer(l, func(h *tar.Header, r io.Reader) error { return visit(i, h, r) }); err != nil {
			return fmt.Errorf("layer %d: %w", i, err)
		}
	}
	return nil
}

func walkLayer(l v1.Layer, visit func(*tar.Header, io.Reader) error) error {
	r, err := l.Uncompressed()
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := visit(h, tr); err != nil {
			return err
		}
	}
}

func tarls(ts *testscript.TestScript, args []string) error {
	only := regexp.MustCompile("")
	if len(args) == 3 {
		var err error
		if only, err = regexp.Compile(args[2]); err != nil {
			return err
		}
	}
	return walk(ts, args, func(layer int, h *tar.Header, _ io.Reader) error {
		line := fmt.Sprintf("%d %v %d:%d %s", layer, h.FileInfo().Mode(), h.Uid, h.Gid, h.Name)
		if h.Linkname != "" {
			line += " -> " + h.Linkname
		}
		if only.MatchString(path.Clean("/" + h.Name)) {
			fmt.Fprintln(ts.Stdout(), line)
		}
		return nil
	})
}

func tarcat(ts *testscript.TestScript, args []string) error {
	if len(args) != 3 {
		return errors.New("usage: tarcat IMAGE PLATFORM PATH")
	}
	var content []byte
	found := false
	err := walk(ts, args, func(_ int, h *tar.Header, r io.Reader) (err error) {
		if path.Clean("/"+h.Name) == path.Clean("/"+args[2]) && h.Typeflag == tar.TypeReg {
			found = true
			content, err = io.ReadAll(r)
		}
		return err
	})
	if err == nil && !found {
		err = fmt.Errorf("no file %s in any layer", args[2])
	}
	_, _ = ts.Stdout().Write(content)
	return err
}

// windowsls reads security descriptors as [MS-DTYP] 2.4.6 and 2.4.2 have them.
func windowsls(ts *testscript.TestScript, args []string) error {
	_, image, err := openChild(ts, args)
	if err != nil {
		return err
	}
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	for i, l := range layers {
		if media, err := l.MediaType(); err != nil || !media.IsDistributable() {
			continue
		}
		err := walkLayer(l, func(h *tar.Header, _ io.Reader) error {
			sd, err := base64.StdEncoding.DecodeString(h.PAXRecords["MSWINDOWS.rawsd"])
			if err != nil || len(sd) != 52 || sd[0] != 1 || binary.LittleEndian.Uint16(sd[2:]) != 0x8000 {
				return fmt.Errorf("%s: not a self-relative security descriptor: %x, %v", h.Name, sd, err)
			}
			owner := sd[binary.LittleEndian.Uint32(sd[4:]):][:16]
			group := sd[binary.LittleEndian.Uint32(sd[8:]):][:16]
			if !bytes.Equal(owner, group) || !bytes.HasPrefix(owner, []byte{1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0}) {
				return fmt.Errorf("%s: owner %x, group %x", h.Name, owner, group)
			}
			fmt.Fprintln(ts.Stdout(), i, h.Name, binary.LittleEndian.Uint32(owner[12:]))
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func validateCommand(ts *testscript.TestScript, args []string) error {
	index, _, err := open(ts, args[0])
	if err != nil {
		return err
	}
	return validate.Index(index)
}
