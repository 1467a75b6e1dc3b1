package disk

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// ErrDamaged is the error of a record that isn't what WriteRecord wrote.
var ErrDamaged = errors.New("damaged record")

// A record is a JSON object whose first member is the checksum of the rest and of the
// file's name, so that flipped bits are noticed, and records that were copied over
// others.
const (
	sumBegin  = `{"sum":"`
	sumEnd    = `",`
	sumLength = len(sumBegin) + 2*sha256.Size + len(sumEnd)
)

// WriteRecord writes v, which is a JSON object, as the record at path. It appears whole
// or not at all; tmp is as in Write.
func WriteRecord(path, tmp string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(data) < 2 || data[0] != '{' {
		return fmt.Errorf("a record of %T is not a JSON object", v)
	}
	rest := data[1:]
	return Write(path, tmp, 0o644, func(w io.Writer) error {
		end := sumEnd
		if len(rest) == 1 {
			end = `"` // an object without members
		}
		if _, err := io.WriteString(w, sumBegin+recordSum(path, rest)+end); err != nil {
			return err
		}
		_, err := w.Write(rest)
		return err
	})
}

// ReadRecord reads the record at path into v. The error is an fs.ErrNotExist if it isn't
// there, and an ErrDamaged if it isn't valid.
func ReadRecord(path string, v any) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	damaged := &os.PathError{Op: "read", Path: path, Err: ErrDamaged}
	if !info.Mode().IsRegular() {
		return damaged
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if len(data) < sumLength-1 || !bytes.HasPrefix(data, []byte(sumBegin)) {
		return damaged
	}
	sum, rest := string(data[len(sumBegin):sumLength-len(sumEnd)]), data[sumLength-len(sumEnd):]
	switch {
	case bytes.HasPrefix(rest, []byte(sumEnd)):
		rest = rest[len(sumEnd):]
	case string(rest) == `"}`:
		rest = rest[1:]
	default:
		return damaged
	}
	if sum != recordSum(path, rest) {
		return damaged
	}
	// The last byte of the checksum's member becomes the object's brace.
	object := data[len(data)-len(rest)-1:]
	object[0] = '{'
	if json.Unmarshal(object, v) != nil {
		return damaged
	}
	return nil
}

func recordSum(path string, rest []byte) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n", filepath.Base(path))
	sum.Write(rest)
	return hex.EncodeToString(sum.Sum(nil))
}
