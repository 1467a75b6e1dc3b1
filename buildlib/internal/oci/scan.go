package oci

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// accounts are the files that tell a base's users.
var accounts = []string{"/etc/passwd", "/etc/group", "/etc/shadow"}

// scanLimits bound what a base may cost: whoever made it is not trusted.
type scanLimits struct {
	entries int    // tar headers and implied directories, all layers together
	names   int64  // bytes of paths and link targets, all layers together
	steps   int64  // path elements walked, links followed included
	path    int    // bytes of one path, of a link's target too (Linux' PATH_MAX)
	content int64  // bytes of all layers together, uncompressed
	account int64  // bytes of one account file
	window  uint64 // bytes of zstd's window
}

var defaultLimits = scanLimits{
	entries: 2_000_000,
	names:   512 << 20,
	steps:   200_000_000,
	path:    4096,
	content: 64 << 30,
	account: 1 << 20,
	window:  128 << 20, // what zstd --ultra and --long need
}

// checkAccount is an error if the account file at p is too long to be one.
func (l scanLimits) checkAccount(p string, size int64) error {
	if size > l.account {
		return fmt.Errorf("%s is %d bytes long, more than the %d that an account file may have", p, size, l.account)
	}
	return nil
}

// scanner applies layers one over the other (OCI image spec, layer.md,
// "Applying Changesets") to what becomes a Tree. It works on a tree of
// directories and not on a Tree's flat map, in which each whiteout would cost
// a look at every path.
type scanner struct {
	limits  scanLimits
	root    *entry
	layer   int32 // the number of the layer at hand, from 1
	header  int32 // the number of its tar header at hand, from 1
	entries int
	names   int64
	steps   int64
	content int64
	stack   []*entry // scratch space of dir
	reached int      // how much of the stack dir left: the way to its result
}

func newScanner(l scanLimits) *scanner {
	return &scanner{limits: l, root: &entry{node: Node{Type: tar.TypeDir, Mode: 0o755}}}
}

// scan applies the layer in r, as it is compressed, and checks that it
// uncompresses to diffID.
func (s *scanner) scan(ctx context.Context, r io.Reader, diffID v1.Hash) error {
	content, err := uncompressed(r, s.limits.window)
	if err != nil {
		return err
	}
	defer content.Close()
	sum := sha256.New()
	limited := &contentReader{ctx: ctx, r: content, read: &s.content, limit: s.limits.content}
	// A large buffer makes hashing and the many small reads of tar cheap.
	stream := bufio.NewReaderSize(io.TeeReader(limited, sum), 256<<10)
	if err := s.apply(stream); err != nil {
		return err
	}
	// What follows the end of the archive is padding that counts for the
	// diff ID.
	if _, err := io.Copy(io.Discard, stream); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != diffID.Hex {
		return fmt.Errorf("uncompresses to sha256:%s, but the config says %s", got, diffID)
	}
	return nil
}

// tree returns the layers' Tree, without the content of account files.
func (s *scanner) tree() *Tree {
	t := &Tree{Nodes: make(map[string]Node, s.entries), Files: map[string][]byte{}}
	var walk func(string, *entry)
	walk = func(dir string, e *entry) {
		for name, kid := range e.kids {
			p := dir + "/" + name
			t.Nodes[p] = kid.node
			walk(p, kid)
		}
	}
	walk("", s.root)
	return t
}

// entry returns what is at the path p, which has no links, of the tree.
func (s *scanner) entry(p string) *entry {
	e := s.root
	for _, name := range elements(p) {
		if e = e.kids[name]; e == nil {
			return nil
		}
	}
	return e
}

// scanTree applies layers in order and returns what they leave. open(i) opens
// layer i as it is compressed; it is called again for a layer only if an
// account file turns out to be a link into it.
func scanTree(ctx context.Context, limits scanLimits, diffIDs []v1.Hash, open func(i int) (io.ReadCloser, error)) (*Tree, error) {
	s := newScanner(limits)
	for i, diffID := range diffIDs {
		if err := func() error {
			r, err := open(i)
			if err != nil {
				return err
			}
			defer r.Close()
			return s.scan(ctx, r, diffID)
		}(); err != nil {
			return nil, &layerError{i, err}
		}
	}
	t := s.tree()
	for _, p := range accounts {
		resolved, n, ok := t.Lookup(p)
		if !ok || n.Type != tar.TypeReg {
			continue
		}
		e := s.entry(resolved)
		if err := limits.checkAccount(p, e.from.size); err != nil {
			return nil, err
		}
		if e.data == nil && e.from.size > 0 {
			var err error
			if e.data, err = s.read(ctx, e.from, open); err != nil {
				return nil, &layerError{int(e.from.layer) - 1, fmt.Errorf("%s: %w", p, err)}
			}
		}
		t.Files[resolved] = e.data
	}
	return t, nil
}

// layerError says in which layer, counted from 0, an error was found.
type layerError struct {
	layer int
	err   error
}

func (e *layerError) Error() string { return fmt.Sprintf("layer %d: %v", e.layer+1, e.err) }
func (e *layerError) Unwrap() error { return e.err }

// read returns the content of a file that was passed over.
func (s *scanner) read(ctx context.Context, from place, open func(int) (io.ReadCloser, error)) ([]byte, error) {
	r, err := open(int(from.layer) - 1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	content, err := uncompressed(r, s.limits.window)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	var read int64
	tr := tar.NewReader(bufio.NewReaderSize(&contentReader{ctx: ctx, r: content, read: &read, limit: s.limits.content}, 256<<10))
	for range from.header {
		if _, err := tr.Next(); err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return nil, err
		}
	}
	return io.ReadAll(io.LimitReader(tr, from.size))
}
