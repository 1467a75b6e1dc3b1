package gocache

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Index lists the packs of an image. The zero value has none.
type Index struct {
	Packs []Pack
}

// Pack is a layer: the outputs of entries.
type Pack struct {
	Digest, DiffID v1.Hash
	Size           int64 // of the layer, in bytes
	Entries        []Aged
	path           string // of the file that WritePack made; empty: the registry has it
}

// Aged is an entry with its age: how many updates of the image went by since it was
// used.
type Aged struct {
	Entry
	Age byte
}

// maxAge is the highest age of an entry that is kept. It isn't 0 because branches use
// different entries.
const maxAge = 5

// dead reports whether the entry is of no use any more: it is too old, or its action
// has had another output since.
func (e Aged) dead() bool { return e.Age > maxAge }

// Limits of what an image may have, whoever wrote it.
const (
	maxOutput  = 256 << 20 // bytes of one output
	maxRaw     = 512 << 20 // bytes of a pack's outputs
	maxPacks   = 1024
	maxEntries = 1 << 20
	// MaxPack is how large a pack's layer may be, in bytes.
	MaxPack = 64 << 20
)

// label is the label of the image's configuration that holds the index.
const label = "multimage.gocache.index"

// format is the version of the label's content.
const format = 1

type encodedIndex struct {
	Format int
	Packs  []encodedPack
}

type encodedPack struct {
	Digest, DiffID v1.Hash
	Size           int64
	Entries        string // base64 of the action, output, size and age of each
}

// raw is the total size of the pack's outputs, in bytes.
func (p Pack) raw() int64 {
	var size int64
	seen := map[ID]bool{}
	for _, e := range p.Entries {
		if !seen[e.Output] {
			seen[e.Output] = true
			size += e.Size
		}
	}
	return size
}

// encode is the index as text, the same for the same packs.
func (x Index) encode() (string, error) {
	out := encodedIndex{Format: format, Packs: []encodedPack{}}
	for _, p := range x.Packs {
		var b []byte
		for _, e := range p.Entries {
			b = append(append(b, e.Action[:]...), e.Output[:]...)
			b = append(binary.AppendUvarint(b, uint64(e.Size)), e.Age)
		}
		out.Packs = append(out.Packs, encodedPack{p.Digest, p.DiffID, p.Size, base64.RawStdEncoding.EncodeToString(b)})
	}
	data, err := json.Marshal(out)
	return string(data), err
}

// decode reads an index, and refuses one beyond the limits.
func decode(text string) (Index, error) {
	var in encodedIndex
	if err := json.Unmarshal([]byte(text), &in); err != nil {
		return Index{}, fmt.Errorf("index: %w", err)
	}
	if in.Format != format {
		return Index{}, fmt.Errorf("index: its format is %d, and this version reads %d", in.Format, format)
	}
	if len(in.Packs) > maxPacks {
		return Index{}, fmt.Errorf("index: %d packs are too many", len(in.Packs))
	}
	var x Index
	for _, p := range in.Packs {
		entries, err := decodeEntries(p.Entries)
		pack := Pack{Digest: p.Digest, DiffID: p.DiffID, Size: p.Size, Entries: entries}
		if err == nil && (p.Size < 0 || p.Size > MaxPack || pack.raw() > maxRaw) {
			err = errors.New("it is too large")
		}
		if err != nil {
			return Index{}, fmt.Errorf("index: pack %s: %w", p.Digest, err)
		}
		x.Packs = append(x.Packs, pack)
	}
	return x, nil
}

func decodeEntries(text string) ([]Aged, error) {
	data, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	var entries []Aged
	for r := bytes.NewReader(data); r.Len() > 0; {
		var e Aged
		if len(entries) == maxEntries {
			return nil, errors.New("too many entries")
		}
		r.Read(e.Action[:])
		r.Read(e.Output[:])
		size, err := binary.ReadUvarint(r)
		if err != nil || size > maxOutput {
			return nil, errors.New("an entry has no size, or one that is too large")
		}
		e.Size = int64(size)
		if e.Age, err = r.ReadByte(); err != nil {
			return nil, errors.New("it is cut off")
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// Missing returns the packs with something that the folder lacks.
func (x Index) Missing(f Folder) []Pack {
	if len(x.Packs) == 0 {
		return nil
	}
	has := f.actions()
	return x.With(func(action ID) bool { return !has[action] })
}

// With returns the packs with something useful of an action for which wanted is true.
func (x Index) With(wanted func(action ID) bool) []Pack {
	return slices.DeleteFunc(slices.Clone(x.Packs), func(p Pack) bool {
		return !slices.ContainsFunc(p.Entries, func(e Aged) bool { return !e.dead() && wanted(e.Action) })
	})
}
