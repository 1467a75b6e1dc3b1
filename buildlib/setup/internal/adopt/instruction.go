package adopt

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/multimage/multimage/buildlib/internal/dockerfile"
)

// instruction follows one instruction of a stage.
func (f *follower) instruction(s *stage, i dockerfile.Instruction) {
	img := f.img
	switch i.Name { // those that matter in every stage
	case "ARG":
		f.arg(s, i)
		return
	case "ENV":
		f.env(s, i)
		return
	case "WORKDIR":
		s.dir = within(s.dir, f.lexer(s).Value(i.Text))
		if s.image {
			img.WorkDir, _ = f.text(i, s.dir)
		}
		return
	case "RUN":
		f.run(s, i)
		return
	case "COPY", "ADD":
		f.copy(s, i)
		return
	}
	if !s.image {
		return
	}
	switch i.Name {
	case "ENTRYPOINT":
		img.Entrypoint = f.command(i)
		if !s.cmdSet {
			img.Cmd = nil
		}
	case "CMD":
		img.Cmd, s.cmdSet = f.command(i), true
	case "USER":
		f.user = f.lexer(s).Value(i.Text)
	case "EXPOSE":
		for _, word := range f.lexer(s).Words(i.Text) {
			if port, ok := f.text(i, word); ok {
				img.Ports = append(img.Ports, port)
			}
		}
	case "VOLUME":
		for _, word := range f.words(s, i) {
			if volume, ok := f.text(i, path.Join("/", word)); ok {
				img.Volumes = append(img.Volumes, volume)
			}
		}
	case "LABEL":
		for _, pair := range f.lexer(s).Pairs(i.Text) {
			f.label(i, pair[0], pair[1])
		}
	case "MAINTAINER":
		f.label(i, "maintainer", f.lexer(s).Value(i.Text))
	case "STOPSIGNAL":
		img.StopSignal, _ = plain(f.lexer(s).Value(i.Text))
	case "HEALTHCHECK":
		f.healthcheck(i)
	case "SHELL":
		f.shell, _ = i.List()
	case "ONBUILD":
		f.lost(i, "images have no triggers: write it in the images with this base.")
	default:
		f.lost(i, "setup doesn't know this instruction.")
	}
}

// command returns the command of ENTRYPOINT or CMD. Variables aren't replaced there.
func (f *follower) command(i dockerfile.Instruction) []string {
	list, ok := i.List()
	if !ok {
		list = append(slices.Clone(f.shell), i.Text)
	}
	for n, word := range list {
		list[n], _ = template(word)
	}
	return list
}

func (f *follower) healthcheck(i dockerfile.Instruction) {
	check := &f.img.Healthcheck
	kind, text, _ := strings.Cut(i.Text, " ")
	i.Text = strings.TrimSpace(text)
	switch list, ok := i.List(); {
	case strings.EqualFold(kind, "NONE"):
		check.Test = []string{}
		return
	case ok:
		check.Test = append([]string{"CMD"}, list...)
	default:
		check.Test = []string{"CMD-SHELL", i.Text}
	}
	for n, word := range check.Test {
		check.Test[n], _ = template(word)
	}
	check.Interval, _ = time.ParseDuration(i.Flags["interval"])
	check.Timeout, _ = time.ParseDuration(i.Flags["timeout"])
	check.StartPeriod, _ = time.ParseDuration(i.Flags["start-period"])
	check.StartInterval, _ = time.ParseDuration(i.Flags["start-interval"])
	check.Retries, _ = strconv.Atoi(i.Flags["retries"])
}

func (f *follower) arg(s *stage, i dockerfile.Instruction) {
	for _, word := range f.lexer(s).Words(i.Text) {
		name, value, given := strings.Cut(word, "=")
		if value, ok := factFor(name); ok {
			s.vars[name] = value
			continue
		}
		if given {
			s.vars[name] = value
			continue
		}
		if _, ok := s.vars[name]; ok {
			continue
		}
		for _, global := range f.file.Args {
			if n, value, ok := strings.Cut(f.lexer(s).Value(global.Text), "="); ok && n == name {
				s.vars[name] = value
			}
		}
	}
}

func (f *follower) env(s *stage, i dockerfile.Instruction) {
	for _, pair := range f.lexer(s).Pairs(i.Text) {
		s.vars[pair[0]] = pair[1]
		if !s.image {
			continue
		}
		value, ok := template(pair[1])
		switch {
		case ok:
			f.img.Env = append(f.img.Env, pair[0]+"="+value)
		case firstVariable(pair[1]) == "$PATH":
			f.lost(i, "the base's PATH isn't known here: set the whole PATH in Env if a program needs it.")
		default:
			f.lost(i, "%s has no value here.", firstVariable(pair[1]))
		}
	}
}

// label sets a label, unless every image has it anyway.
func (f *follower) label(i dockerfile.Instruction, key, value string) {
	switch strings.TrimPrefix(key, "org.opencontainers.image.") {
	case "version", "revision", "created", "source":
		if strings.HasPrefix(key, "org.") {
			return
		}
	}
	if value, ok := f.text(i, value); ok {
		f.img.setLabel(key, value)
	}
}
