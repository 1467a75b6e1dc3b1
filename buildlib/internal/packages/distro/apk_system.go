package distro

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/packages"
)

// apkSystem is a base with apk.
type apkSystem struct {
	base      fs.FS
	arch      string
	folder    string // of its database
	installed map[string]*pkg
}

// apkFolders are where the database may be: since Alpine 3.23 below /usr.
var apkFolders = []string{"lib/apk/db", "usr/lib/apk/db"}

// apkArch returns Alpine's name of a platform; empty: it has none.
func apkArch(arch, variant string) string {
	if arch == "arm" && (variant == "v5" || variant == "v6") {
		return "armhf"
	}
	return map[string]string{
		"386": "x86", "amd64": "x86_64", "arm": "armv7", "arm64": "aarch64", "loong64": "loongarch64", "ppc64le": "ppc64le",
		"riscv64": "riscv64", "s390x": "s390x",
	}[arch]
}

func openApk(base fs.FS, folder, arch string) (*apkSystem, error) {
	s := &apkSystem{base: base, arch: arch, folder: folder, installed: map[string]*pkg{}}
	f, err := base.Open(folder + "/installed")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := eachApk(f, func(p *pkg) { s.installed[p.name] = p }); err != nil {
		return nil, fmt.Errorf("base: /%s/installed: %w", folder, err)
	}
	return s, nil
}

// universe fetches the indexes of the base's repositories.
func (s *apkSystem) universe(ctx context.Context, client *packages.Client) (*universe, error) {
	u := newUniverse(compareApk)
	lines, err := readSettings(s.base, "etc/apk/repositories")
	if err != nil {
		return nil, err
	}
	for _, repository := range lines {
		if strings.HasPrefix(repository, "@") {
			continue // a tagged repository, which only NAME@TAG uses
		}
		if at, err := url.Parse(repository); err != nil || at.Scheme != "https" && at.Scheme != "http" {
			return nil, fmt.Errorf("base: /etc/apk/repositories: %q: only repositories at http and https are read", repository)
		}
		at := strings.TrimSuffix(repository, "/") + "/" + s.arch
		var signed []byte
		if err := client.Get(ctx, at+"/APKINDEX.tar.gz", func(r io.Reader) (err error) {
			signed, err = io.ReadAll(&limited{r, maxIndex})
			return err
		}); err != nil {
			return nil, err
		}
		if err := s.readIndex(signed, at, u); err != nil {
			return nil, fmt.Errorf("%s/APKINDEX.tar.gz: %w", at, err)
		}
	}
	if len(u.named) == 0 {
		return nil, fmt.Errorf("base: /etc/apk/repositories names no repository that has packages for %s", s.arch)
	}
	u.sort()
	return u, nil
}

// readIndex checks the signature of an index and adds its packages.
func (s *apkSystem) readIndex(signed []byte, at string, u *universe) error {
	in := bytes.NewReader(signed)
	members, err := tarMembers(in)
	if err != nil {
		return err
	}
	content := signed[len(signed)-in.Len():]
	if err := s.verify(members, content); err != nil {
		return err
	}
	list, err := tarMembers(in)
	if err != nil {
		return err
	}
	if list["APKINDEX"] == nil {
		return errors.New("has no list of packages")
	}
	return eachApk(bytes.NewReader(list["APKINDEX"]), func(p *pkg) {
		if p.arch == s.arch || p.arch == "noarch" {
			p.url = at + "/" + url.PathEscape(p.name+"-"+p.version) + ".apk"
			u.add(p)
		}
	})
}

// verify checks that a key which the base trusts has signed the content.
func (s *apkSystem) verify(signatures map[string][]byte, content []byte) error {
	var names []string
	for name, signature := range signatures {
		hash, kind := crypto.SHA1, strings.TrimPrefix(name, ".SIGN.RSA.")
		sum := sha1.Sum(content) //nolint:gosec // see above
		digest := sum[:]
		if key, ok := strings.CutPrefix(name, ".SIGN.RSA256."); ok {
			sum := sha256.Sum256(content)
			hash, kind, digest = crypto.SHA256, key, sum[:]
		}
		if kind == name || strings.ContainsAny(kind, "/\\") {
			continue
		}
		names = append(names, kind)
		data, err := fs.ReadFile(s.base, "etc/apk/keys/"+kind)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		block, _ := pem.Decode(data)
		if block == nil {
			return fmt.Errorf("base: key /etc/apk/keys/%s is not in PEM", kind)
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return fmt.Errorf("base: key /etc/apk/keys/%s: %w", kind, err)
		}
		public, ok := key.(*rsa.PublicKey)
		if !ok {
			return fmt.Errorf("base: key /etc/apk/keys/%s is not RSA", kind)
		}
		if err := rsa.VerifyPKCS1v15(public, hash, digest, signature); err != nil {
			return fmt.Errorf("its signature by %s is wrong: %w", kind, err)
		}
		return nil
	}
	if len(names) == 0 {
		return errors.New("is not signed")
	}
	return fmt.Errorf("is signed by %s, which is not among the base's /etc/apk/keys", strings.Join(names, ", "))
}

// Choose implements Manager. Alpine's index has no SHA-256, so it fetches the
// packages and checks them.
func (s *apkSystem) Choose(ctx context.Context, client *packages.Client, wanted []string) ([]packages.Package, error) {
	u, err := s.universe(ctx, client)
	if err != nil {
		return nil, err
	}
	chosen, err := choose(u, s.installed, wanted)
	if err != nil {
		return nil, err
	}
	for _, p := range chosen {
		if err := s.checksum(ctx, client, p); err != nil {
			return nil, fmt.Errorf("package %s: %w", p, err)
		}
	}
	return locked(chosen), nil
}

// checksum finds the SHA-256 of a package, once its control part has the index's
// checksum and its data the control part's.
func (s *apkSystem) checksum(ctx context.Context, client *packages.Client, p *pkg) error {
	var kept struct{ SHA256 string }
	if client.Cache.Load("apk", p.url+" "+p.checksum, &kept) {
		p.sha256 = kept.SHA256
		return nil
	}
	data, err := client.Read(ctx, p.url, maxApk)
	if err != nil {
		return err
	}
	a, err := splitApk(data)
	if err != nil {
		return err
	}
	if a.sum != p.checksum || int64(len(data)) != p.size {
		return fmt.Errorf("%s is not what the index describes (it has the checksum %s and %d bytes, and should have %s and %d)", p.url, a.sum, len(data), p.checksum, p.size)
	}
	sum := sha256.Sum256(data)
	p.sha256 = hex.EncodeToString(sum[:])
	kept.SHA256 = p.sha256
	client.Cache.Save("apk", p.url+" "+p.checksum, kept)
	return nil
}

// maxApk bounds a package, which is held in memory.
const maxApk = 1 << 30
