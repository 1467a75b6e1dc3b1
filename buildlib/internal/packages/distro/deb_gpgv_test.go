package distro

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// Only what a key of the base has signed is believed.
func TestGpgv(t *testing.T) {
	testenv.Require(t, "gpg", "gpgv")
	text := []byte("Origin: Test\nSHA256:\n 0 1 main/Packages\n")
	ours, signed := signer(t, "ours@example.com", text)
	other, foreign := signer(t, "other@example.com", text)
	for _, test := range []struct {
		name   string
		signed []byte
		keys   [][]byte
		ok     bool
	}{
		{"by our key", signed, [][]byte{ours}, true},
		{"by one of our keys", signed, [][]byte{other, ours}, true},
		{"by another key", foreign, [][]byte{ours}, false},
		{"changed", bytes.Replace(signed, []byte("Packages"), []byte("packages"), 1), [][]byte{ours}, false},
		{"cut off", signed[:len(signed)/2], [][]byte{ours}, false},
		{"unsigned", text, [][]byte{ours}, false},
		{"a key that is none", signed, [][]byte{[]byte("no key")}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := gpgv(t.Context(), test.signed, test.keys)
			if test.ok && (err != nil || !bytes.Equal(got, text)) {
				t.Errorf("got %q, %v", got, err)
			}
			if !test.ok && (err == nil || !strings.Contains(err.Error(), "not signed by a key that the base trusts")) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// signer makes a key, and has it sign the text as InRelease is signed.
func signer(t *testing.T, name string, text []byte) (key, signed []byte) {
	t.Helper()
	home, err := os.MkdirTemp("", "gpg-") // the agent's socket wants a short name
	if err != nil {
		t.Fatal(err)
	}
	gpg := func(in []byte, args ...string) []byte {
		cmd := exec.Command("gpg", append([]string{"--homedir", home, "--batch", "--quiet", "--pinentry-mode=loopback", "--passphrase="}, args...)...)
		var said bytes.Buffer
		cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &said
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("gpg %q: %v\n%s", args, err, said.Bytes())
		}
		return out
	}
	t.Cleanup(func() {
		stop := exec.Command("gpgconf", "--homedir", home, "--kill", "all")
		_ = stop.Run()
		_ = os.RemoveAll(home)
	})
	gpg(nil, "--quick-generate-key", name, "ed25519", "sign", "never")
	return gpg(nil, "--export", name), gpg(text, "--clearsign")
}
