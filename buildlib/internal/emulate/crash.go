package emulate

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/process"
)

// Crash is the error of a program that an emulator could not run to its end.
type Crash struct {
	Platform string
	Emulator Emulator
	Program  string // what was run
	How      string // like "signal: segmentation fault"
	Text     string // what it printed
}

func (c *Crash) Error() string {
	s := fmt.Sprintf("%s: %s fails under %s: %s", c.Platform, c.Program, c.Emulator, c.How)
	if c.Emulator.Version != "" {
		s += "; a newer QEMU may run it"
	}
	if c.Text != "" {
		s += "\n" + c.Text
	}
	return s
}

// crashSigns match signs of a crash in the output of a command whose children ran under
// QEMU: QEMU's own messages, and the go command's about a tool that was killed.
var crashSigns = []*regexp.Regexp{
	regexp.MustCompile(`qemu: uncaught target signal \d+ \([^)]*\)`),
	regexp.MustCompile(`: (signal: [a-z]+(?: [a-z]+)*)`),
	regexp.MustCompile(`qemu[-:][^\n]*(?:[Uu]nsupported|[Uu]nknown)[^\n]*`),
}

// Crashed reports whether a signal ended a command that the emulator ran, or one of its
// children, and which. err is the command's error. A compiler that finds a mistake has
// not crashed.
func Crashed(err error, output string) (how string, crashed bool) {
	if err == nil {
		return "", false
	}
	for _, sign := range crashSigns {
		if m := sign.FindStringSubmatch(output); m != nil {
			return m[len(m)-1], true
		}
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && strings.HasPrefix(exit.String(), "signal: ") {
		return exit.String(), true
	}
	return "", false
}

// crash makes a Crash of the error of a command that should have succeeded, unless ctx
// has ended.
func crash(ctx context.Context, platform v1.Platform, e Emulator, program string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	c := &Crash{Platform: platform.String(), Emulator: e, Program: program, How: err.Error()}
	if failed, ok := errors.AsType[*process.Failure](err); ok {
		c.How, c.Text = failed.Err.Error(), failed.Text
		if how, ok := Crashed(failed.Err, failed.Text); ok {
			c.How = how
		}
	}
	return c
}
