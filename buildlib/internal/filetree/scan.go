package filetree

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// accounts are the files with a base's users.
var accounts = []string{"/etc/passwd", "/etc/group", "/etc/shadow"}

// scanner applies layers one over the other (OCI image spec, layer.md,
// "Applying Changesets") to what becomes a Tree.
type scanner struct {
	limits  scanLimits
	root    *entry
	layer   int16 // the number of the current layer, from 1
	header  int32 // the number of the current tar header in it, from 1
	entries int
	names   int64
	steps   int64
	content int64
	attrs   map[owned]*attributes
	kept    map[string]keptFile // the last content of each of accounts
	stack   []*entry            // scratch space of dir
	reached int                 // how much of stack is the path to the last result of dir
}

type (
	owned struct {
		mode     int64
		uid, gid int
	}
	keptFile struct {
		at   place
		data []byte
	}
)

func newScanner(l scanLimits) *scanner {
	s := &scanner{limits: l, attrs: map[owned]*attributes{}, kept: map[string]keptFile{}}
	s.root = &entry{typ: tar.TypeDir, attrs: s.attributes(0o755, 0, 0, nil)}
	return s
}

// scan applies the compressed layer in r, and checks that it uncompresses to diffID.
func (s *scanner) scan(ctx context.Context, r io.Reader, diffID v1.Hash) error {
	packed := &countingReader{r: r}
	content, err := uncompress(packed, s.limits.window)
	if err != nil {
		return err
	}
	defer content.Close()
	sum, before := sha256.New(), s.content
	limited := &contentReader{ctx: ctx, r: content, read: &s.content, limit: s.limits.content, check: func() error {
		if n := s.content - before; n > s.limits.small && n/s.limits.ratio > packed.n {
			return fmt.Errorf("%d bytes uncompress to more than %d, as no honest layer does", packed.n, n)
		}
		return nil
	}}
	// A large buffer makes hashing and the many small reads of tar cheap.
	stream := bufio.NewReaderSize(io.TeeReader(limited, sum), 256<<10)
	if err := s.apply(ctx, stream); err != nil {
		return err
	}
	// The diff ID includes the padding after the end of the archive.
	if _, err := io.Copy(io.Discard, stream); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != diffID.Hex {
		return fmt.Errorf("uncompresses to sha256:%s, but the config says %s", got, diffID)
	}
	return nil
}

// Scan applies layers in order and returns their tree. open(i) opens the compressed
// layer i; it is called again for a layer only if an account file turns out to be a
// link to a file in it. An error in a layer, such as a wrong diff ID, is a
// *LayerError.
func Scan(ctx context.Context, diffIDs []v1.Hash, open func(i int) (io.ReadCloser, error)) (*Tree, error) {
	return scanWithin(ctx, defaultLimits, diffIDs, open)
}

func scanWithin(ctx context.Context, limits scanLimits, diffIDs []v1.Hash, open func(i int) (io.ReadCloser, error)) (*Tree, error) {
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
			return nil, &LayerError{i, err}
		}
	}
	t := &Tree{root: s.root, Files: map[string][]byte{}}
	for _, p := range accounts {
		resolved, n, ok := t.Lookup(p)
		if !ok || n.Type != tar.TypeReg {
			continue
		}
		data, err := s.file(ctx, p, s.root.find(resolved).at, open)
		if err != nil {
			return nil, err
		}
		t.Files[resolved] = data
	}
	return t, nil
}

// LayerError is an error in a layer.
type LayerError struct {
	Layer int // from 0
	Err   error
}

func (e *LayerError) Error() string { return fmt.Sprintf("layer %d: %v", e.Layer+1, e.Err) }
func (e *LayerError) Unwrap() error { return e.Err }

// file returns the content of the account file p. It was kept, unless the layer has it
// under another name: then the layer is read again.
func (s *scanner) file(ctx context.Context, p string, at place, open func(int) (io.ReadCloser, error)) ([]byte, error) {
	for _, k := range s.kept {
		if k.at == at {
			return k.data, nil
		}
	}
	if at == (place{}) { // a link of AUFS
		return nil, nil
	}
	data, err := s.read(ctx, p, at, open)
	if err != nil {
		return nil, &LayerError{int(at.layer) - 1, err}
	}
	return data, nil
}

func (s *scanner) read(ctx context.Context, p string, at place, open func(int) (io.ReadCloser, error)) (data []byte, err error) {
	header := int32(0)
	err = entries(ctx, open, int(at.layer)-1, func(h *tar.Header, content io.Reader) (err error) {
		if header++; header < at.header {
			return nil
		}
		if err := s.limits.checkAccount(p, h.Size); err != nil {
			return err
		}
		if data, err = io.ReadAll(content); err != nil {
			return err
		}
		return fs.SkipAll
	})
	return data, err
}
