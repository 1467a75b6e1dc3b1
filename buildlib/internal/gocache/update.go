package gocache

import "context"

const (
	// A pack with less than smallRaw bytes of outputs is small. maxSmall of them are
	// joined.
	smallRaw = packRaw / 4
	maxSmall = 8
)

// Update returns the index of the next image, after a build that used the given
// entries. It writes the packs that are new to temp, and reports whether the packs
// changed. A pack is written anew, without its dead entries, once they are more than
// half of it, or when there are many small ones; what the folder lacks of it is given
// up.
func (x Index) Update(ctx context.Context, f Folder, used []Entry, temp string) (Index, bool, error) {
	missing := map[ID]Entry{}
	for _, e := range used {
		missing[e.Action] = e
	}
	var next Index
	var small, worn []Pack
	for _, p := range x.Packs {
		aged := p
		aged.Entries = nil
		var dead int64
		for _, e := range p.Entries {
			now, used := missing[e.Action]
			switch {
			case used && now.Output == e.Output:
				e.Age = 0
				delete(missing, e.Action)
			case used:
				e.Age = maxAge + 1
			default:
				e.Age = min(e.Age, maxAge) + 1
			}
			if e.dead() {
				dead += e.Size
			}
			aged.Entries = append(aged.Entries, e)
		}
		switch raw := p.raw(); {
		case dead > raw/2 || len(p.Entries) == 0:
			worn = append(worn, aged)
		case raw < smallRaw:
			small = append(small, aged)
		default:
			next.Packs = append(next.Packs, aged)
		}
	}
	var add []Aged
	for _, e := range missing {
		if f.isPortable(e) {
			add = append(add, Aged{Entry: e})
		}
	}
	if len(add) == 0 && len(worn) == 0 {
		return x, false, nil
	}
	if len(small) >= maxSmall {
		worn, small = append(worn, small...), nil
	}
	for _, p := range worn {
		for _, e := range p.Entries {
			if !e.dead() {
				add = append(add, e)
			}
		}
	}
	next.Packs = append(next.Packs, small...)
	packs, err := writePacks(ctx, f, add, temp)
	if err != nil {
		return x, false, err
	}
	next.Packs = append(next.Packs, packs...)
	return next, len(packs) > 0 || len(worn) > 0, nil
}
