package buildlib

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// repositoryName and tagName are the OCI distribution spec's <name> and
// <reference> ("Pulling manifests").
var (
	repositoryName = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagName        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

// userName matches the names that adduser accepts (NAME_REGEX of adduser.conf, useradd(8)).
var userName = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,30}\$?$`)

// maxID is the largest user or group ID: the one above it is -1.
const maxID = 1<<32 - 2

// configure renders an image's configuration with the facts of a platform, notes its
// mistakes, and cleans paths. Without facts it checks only what isn't a template.
func (r *resolver) configure(img *draft, facts *Facts) {
	img.WorkDir = r.renderPath(img.field+".WorkDir", img.WorkDir, facts)
	img.BinDir = r.renderPath(img.field+".BinDir", img.BinDir, facts)
	img.Volumes = r.renderList(img.field+".Volumes", img.Volumes, facts, func(field, v string) string {
		return r.imagePath(field, facts.slashed(v))
	})
	img.Ports = r.renderList(img.field+".Ports", img.Ports, facts, func(field, port string) string {
		_, err := expose(port)
		r.check(field, err)
		return port
	})
	img.Env = r.renderList(img.field+".Env", img.Env, facts, func(field, env string) string {
		if key, _, ok := strings.Cut(env, "="); !ok || key == "" || strings.ContainsRune(env, 0) {
			r.mistake(field, "%q: want KEY=VALUE", env)
		}
		return env
	})
	word := func(field, word string) string {
		if strings.ContainsRune(word, 0) {
			r.mistake(field, "%q holds a NUL", word)
		}
		return word
	}
	img.Entrypoint = r.renderList(img.field+".Entrypoint", img.Entrypoint, facts, word)
	img.Cmd = r.renderList(img.field+".Cmd", img.Cmd, facts, word)
	img.Smoke = r.renderList(img.field+".Smoke", img.Smoke, facts, word)
	if img.StopSignal != "" && !isSignal(img.StopSignal) {
		r.mistake(img.field+".StopSignal", "%q is not a Linux signal: want a name like SIGQUIT or a number", img.StopSignal)
	}
	img.Healthcheck.Test = r.renderList(img.field+".Healthcheck.Test", img.Healthcheck.Test, facts, word)
	r.checkUser(img)
	img.Files = slices.Clone(img.Files)
	for i := range img.Files {
		f, field := &img.Files[i], fmt.Sprintf("%s.Files[%d]", img.field, i)
		f.Source, _ = r.render(field+".Source", f.Source, facts)
		if at, ok := r.render(field+".Path", f.Path, facts); ok {
			at = facts.slashed(at)
			f.Path = r.imagePath(field+".Path", at)
			if strings.HasSuffix(at, "/") && f.Path != "" && f.Path != "/" {
				f.Path += "/" // a file goes into that folder
			}
		}
		r.checkAttributes(field, f.Mode, f.UID, f.GID, f.Capabilities)
		if f.Source == "" && len(f.Capabilities) > 0 {
			r.mistake(field+".Capabilities", "a folder can't have them: name a file in Source")
		}
	}
}

// Values of Smoke.Unrunnable.
const (
	unrunnableSkip = "skip"
	unrunnableFail = "fail"
)

// smoke checks how the images' Smoke is run.
func (r *resolver) smoke() {
	s := r.project.Smoke
	if s.Timeout < 0 {
		r.mistake("Smoke.Timeout", "%v is negative: want a duration like 30 * time.Second", s.Timeout)
	}
	if !slices.Contains([]string{"", unrunnableSkip, unrunnableFail}, s.Unrunnable) {
		r.mistake("Smoke.Unrunnable", "%q: want %s or %s", s.Unrunnable, unrunnableSkip, unrunnableFail)
	}
	r.plan.Smoke = s
}

// checkAttributes notes invalid attributes of a file.
func (r *resolver) checkAttributes(field string, mode fs.FileMode, uid, gid int, capabilities []string) {
	if mode&^0o7777 != 0 {
		r.mistake(field+".Mode", "%#o has more than permission bits: want one like 0o644", uint32(mode))
	}
	r.checkID(field+".UID", uid)
	r.checkID(field+".GID", gid)
	r.checkCapabilities(field+".Capabilities", capabilities)
}

func (r *resolver) checkUser(img *draft) {
	u, field := &img.User, img.field+".User"
	if u.Name != "" && !userName.MatchString(u.Name) {
		r.mistake(field+".Name", "%q is not a valid user name: use at most 32 lower-case letters, digits, - and _, starting with a letter or _", u.Name)
	}
	r.checkID(field+".UID", u.UID)
	r.checkID(field+".GID", u.GID)
	if u.Name == "" && u.UID == 0 && (u.GID != 0 || u.Home != "") {
		r.mistake(field, "has a GID or Home, and neither Name nor UID: set one of them (Name: \"root\" for root)")
	}
	if u.Name == "" && u.Home != "" {
		r.mistake(field+".Home", "%q belongs to a user without a Name: set Name", u.Home)
	}
	if u.Home != "" {
		u.Home = r.imagePath(field+".Home", u.Home)
	}
}

func (r *resolver) checkID(field string, id int) {
	if id < 0 || int64(id) > maxID {
		r.mistake(field, "%d is not a valid user or group ID: want 0 to %d", id, int64(maxID))
	}
}

// expose parses PORT[-PORT][/PROTOCOL] into keys of ExposedPorts (OCI image spec,
// config.md; ranges are Docker's).
func expose(port string) ([]string, error) {
	numbers, protocol, ok := strings.Cut(port, "/")
	if !ok {
		protocol = "tcp"
	}
	if protocol != "tcp" && protocol != "udp" && protocol != "sctp" {
		return nil, fmt.Errorf("port %q: protocol %q is not tcp, udp or sctp", port, protocol)
	}
	low, high, isRange := strings.Cut(numbers, "-")
	if !isRange {
		high = low
	}
	from, err1 := strconv.ParseUint(low, 10, 16)
	to, err2 := strconv.ParseUint(high, 10, 16)
	if err1 != nil || err2 != nil || from == 0 || to < from {
		return nil, fmt.Errorf("port %q: want a number from 1 to 65535, or a range, and optionally /tcp, /udp or /sctp", port)
	}
	var all []string
	for n := from; n <= to; n++ {
		all = append(all, fmt.Sprintf("%d/%s", n, protocol))
	}
	return all, nil
}

// exposed converts ports, which expose has validated, to ExposedPorts.
func exposed(ports []string) map[string]struct{} {
	var all []string
	for _, port := range ports {
		list, _ := expose(port)
		all = append(all, list...)
	}
	return set(all)
}

// set returns a map with the elements of list as keys; nil if it is empty.
func set(list []string) map[string]struct{} {
	if len(list) == 0 {
		return nil
	}
	all := make(map[string]struct{}, len(list))
	for _, key := range list {
		all[key] = struct{}{}
	}
	return all
}

// signals are Linux's (signal(7)).
var signals = strings.Fields(`ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR
	QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX`)

var realtime = regexp.MustCompile(`^RTM(IN\+|AX-)([0-9]|[12][0-9]|30)$`)

func isSignal(s string) bool {
	if n, err := strconv.Atoi(s); err == nil {
		return n >= 1 && n <= 64
	}
	name := strings.TrimPrefix(s, "SIG")
	return slices.Contains(signals, name) || realtime.MatchString(name)
}

// draft is an Image that is becoming an ImagePlan.
type draft struct {
	Image
	field     string
	names     []string // of the binaries that exist
	binaries  []binary // those with these names; for different platforms if they share one
	platforms []Platform
}
