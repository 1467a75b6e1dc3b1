package disk

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestRecord(t *testing.T) {
	type object struct {
		Name string            `json:"name,omitempty"`
		Data []byte            `json:"data,omitempty"`
		More map[string]string `json:"more,omitempty"`
	}
	for name, want := range map[string]object{
		"empty":  {},
		"string": {Name: "<&>\u2028\"}"},
		"all":    {Name: "a", Data: []byte{0, 0xff}, More: map[string]string{"sum": "mine"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "sub", "a.json")
			if err := WriteRecord(path, dir, want); err != nil {
				t.Fatal(err)
			}
			var got object
			if err := ReadRecord(path, &got); err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("read %+v, %v, want %+v", got, err, want)
			}
			good, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !json.Valid(good) {
				t.Errorf("not JSON: %s", good)
			}
			check := func(what string, data []byte) {
				t.Helper()
				if err := os.WriteFile(path, data, 0o644); err != nil {
					t.Fatal(err)
				}
				var got object
				if err := ReadRecord(path, &got); !errors.Is(err, ErrDamaged) || !reflect.DeepEqual(got, object{}) {
					t.Errorf("%s: read %+v, %v, want ErrDamaged", what, got, err)
				}
			}
			for i := range good {
				for bit := range 8 {
					bad := append([]byte(nil), good...)
					bad[i] ^= 1 << bit
					check("a bit flipped", bad)
				}
				check("truncated", good[:i])
			}
			check("grown", append(append([]byte(nil), good...), ' '))
			check("without checksum", []byte(`{"name":"a"}`))

			other := filepath.Join(dir, "sub", "b.json")
			if err := os.WriteFile(other, good, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := ReadRecord(other, &got); !errors.Is(err, ErrDamaged) {
				t.Errorf("another record's content: %v, want ErrDamaged", err)
			}
		})
	}
}

func TestRecordThatIsNone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.json")
	var v struct{}
	if err := ReadRecord(path, &v); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a record that isn't there: %v, want fs.ErrNotExist", err)
	}
	for _, v := range []any{[]int{1}, "a", nil} {
		if err := WriteRecord(path, dir, v); err == nil {
			t.Errorf("%v was written, and can't be read", v)
		}
	}
	if got := entries(t, dir); len(got) > 0 {
		t.Errorf("left %q", got)
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := ReadRecord(path, &v); !errors.Is(err, ErrDamaged) {
		t.Errorf("a folder: %v, want ErrDamaged", err)
	}
}
