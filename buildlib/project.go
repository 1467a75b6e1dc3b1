package buildlib

import (
	"io/fs"
	"time"
)

// Project says what to build and where it goes. The zero value builds every
// main package under ./cmd/... (else the one at the module's root) for
// linux/amd64 and linux/arm64, each into an image from scratch, published
// nowhere but to the local layout.
//
// Of lists, nil is the default, and one that is empty but not nil is none.
//
// Templates (see [Facts]) are Version, Tags, Registries and Labels; GoBuild's
// fields; Binary.Path; and Image's Repository, Aliases, Base, BinDir, WorkDir,
// Registries, Tags, PlatformTags, Entrypoint, Cmd, Env, Ports, Volumes, Healthcheck.Test, Labels, and Source
// and Path of its Files. Elements of lists that render empty are left out. In other fields {{ is
// refused.
type Project struct {
	// Dir is the folder of the Go module, relative to where the program
	// runs. Zero: the current folder.
	Dir string
	// Output is the folder for all that is made, relative to Dir. Zero: dist.
	Output string
	// Version names what is built. Zero: the highest version among HEAD's tags
	// that match TagPattern; else that of the nearest ancestor with one, as git
	// describe writes it, else the commit's hash; with -dirty if tracked files
	// are changed. "dev", which Manifest pushes nowhere, without git.
	Version string
	// TagPattern is what the tags of versions match, as in path.Match; what it
	// has before the version is left out (release- of release-v*). In a module
	// that is a subfolder of its repository, PATH/ stands before it, as in Go's
	// own versions. A tag that is no semantic version is none. Zero: v*.
	TagPattern string
	// Tags are the tags of every image that sets none. A tag that renders
	// empty is dropped; Manifest refuses an image that has no other. Of a
	// checkout with uncommitted changes it publishes only tags that say so, as
	// {{.Version}} does, which ends in -dirty. Zero: {{.Version}}.
	Tags []string
	// Registries are where images go: a registry with the path before the
	// image's name, like ghcr.io/acme. Zero: nowhere, the local layout only.
	Registries []string
	// Insecure are the registries (HOST or HOST:PORT) that may speak plain
	// HTTP. Those on the loopback interface always may.
	Insecure []string
	// BuildCache is a repository, like ghcr.io/acme/cache, from which a machine
	// gets what go compiled on another one. It is read by every build, and
	// written to only with Options.WriteBuildCache. Zero, or off: none.
	BuildCache string
	// Platforms are what to build for, as OS/ARCH[/VARIANT]. Zero:
	// linux/amd64, linux/arm64.
	Platforms []string
	// Binaries are the main packages to build. Zero: those found.
	Binaries []Binary
	// Images are the images to make. Zero: one from scratch per binary.
	// Empty: none.
	Images []Image
	// Go is how the go command builds the binaries that don't say.
	Go GoBuild
	// Labels are added to every image's own.
	Labels map[string]string
	// Runners are the labels of CI runners by platform, for Builder.Matrix. One
	// of a platform that isn't built counts for nothing. Zero: ubuntu-latest.
	Runners map[string]string
	// Evidence is what is said of images beside them: sbom (SPDX 2.3), cyclonedx
	// (1.6), provenance (SLSA v1). Zero: sbom, provenance. Empty: nothing.
	Evidence []string
	// Sign names what signs images and their evidence: the file of a private key
	// (PKCS#8, ECDSA P-256 or Ed25519), relative to Dir; env://NAME, a variable
	// that holds one; or keyless, by the program cosign. Zero: nothing.
	Sign string
	// Bench says what the benchmark measures.
	Bench Bench
}

// GoBuild is how the go command builds. A field set on a Binary replaces the
// Project's.
type GoBuild struct {
	// Tags are build tags, as of go build -tags.
	Tags []string
	// Ldflags are the linker's arguments, as of go build -ldflags.
	Ldflags string
	// Flags are further arguments of go build. -o and -C are refused.
	Flags []string
	// Env are further environment variables, as KEY=VALUE, of the go command
	// (GOEXPERIMENT, GOFIPS140, ...). Those that choose the platform (GOOS,
	// GOARCH, GOARM, ...) are refused: Platforms does that.
	Env []string
}

// Binary is one main package.
type Binary struct {
	// Name is the name of the executable, which another may have on other
	// platforms. Zero: the go command's default, the last element of the import
	// path.
	Name string
	// Package is the main package: a path like ./cmd/NAME, which may lead into
	// another module below Dir, or an import path. Zero: ./cmd/NAME.
	Package string
	// Path is the executable's path in images. Zero: BinDir/Name.
	Path string
	// Platforms are what it is built for. Zero: the Project's.
	Platforms []string
	// Go replaces, field by field, the Project's.
	Go GoBuild
	// Capabilities are those that the executable has in images, though its
	// user is not root: cap_net_bind_service=ep, as setcap takes it.
	Capabilities []string
}

// Image is one container image: an index with an image per platform.
type Image struct {
	// Name names the image in layouts, results and messages.
	Name string
	// Repository is the repository's name below each registry. Zero: Name.
	Repository string
	// Aliases are further repositories for the same index: names below each
	// registry, or whole ones like docker.io/acme/router, which Overrides.Registries
	// leaves out.
	Aliases []string
	// Base is what the image stands on: scratch, a registry reference (tag
	// or digest), or oci:PATH, an OCI layout's folder or tar. Zero: scratch.
	Base string
	// Packages are packages of the Base's distribution to add, by the names
	// that its package manager takes: NAME or NAME=VERSION. Builder.Lock chooses
	// them, with what they depend on, into multimage.lock; nothing of the
	// base is run to install them.
	Packages []string
	// IgnoreScripts are the names of packages whose maintainer scripts may be
	// passed over, though they would do something.
	IgnoreScripts []string
	// Binaries are the names of the binaries in it. Zero: the one named as
	// the image. Empty: none.
	Binaries []string
	// BinDir is the folder that binaries go to. Zero: /usr/local/bin.
	BinDir string
	// WorkDir is the working directory, made, as the User's, if the base lacks
	// it. Zero: the base's.
	WorkDir string
	// Platforms are what the image is made for. Zero: the Project's, those
	// for linux.
	Platforms []string
	// Registries replace the Project's; Tags too.
	Registries []string
	Tags       []string
	// PlatformTags are tags that lead to the image for one platform, and not to
	// the index of all, like {{.Version}}-{{.Arch}}{{.Variant}}. With Tags that are
	// empty there are no others: some services take no index. Overrides.Tags leaves
	// them out, or replaces them if they are all.
	PlatformTags []string
	// User is whom the entrypoint runs as.
	User User
	// Entrypoint is the command. Zero: the first binary.
	Entrypoint []string
	// Cmd is the default arguments. Zero: none, as those of the base are for
	// another program.
	Cmd []string
	// BaseCommand makes what isn't set of Entrypoint and Cmd the base's own:
	// both, or its Entrypoint with this Cmd. An image without binaries has the
	// base's anyway.
	BaseCommand bool
	// Env are environment variables, as KEY=VALUE, joined to the base's.
	Env []string
	// Ports are the ports that the image exposes, as PORT[-PORT][/PROTOCOL],
	// joined to the base's.
	Ports []string
	// Volumes are the paths of volumes, joined to the base's. A folder that
	// the base lacks is made as WorkDir is.
	Volumes []string
	// StopSignal is the signal that asks the container to stop, like
	// SIGQUIT or 3. Zero: the base's.
	StopSignal string
	// Healthcheck is how an engine finds out whether the container works, as a
	// Dockerfile's HEALTHCHECK. Zero: the base's.
	Healthcheck Healthcheck
	// Labels are labels of this image, over the Project's. One that is or renders
	// empty isn't there, nor the base's.
	Labels map[string]string
	// Files are copied into it.
	Files []File
	// CACerts adds Mozilla's roots where the base has none; TZData the
	// time zones. An image from scratch always has both.
	CACerts bool
	TZData  bool
}

// Healthcheck is a command that tells by its exit status, 0 or 1, whether the
// container works. Of its numbers, zero is the engine's default.
type Healthcheck struct {
	// Test is "CMD" and a program with its arguments, "CMD-SHELL" and one
	// command for the image's shell, or "NONE". Zero: the base's. Empty: none.
	Test []string
	// Interval is the time between two checks, and Timeout what one may take.
	Interval, Timeout time.Duration
	// StartPeriod is how long failures don't count after the start, and
	// StartInterval the time between two checks meanwhile.
	StartPeriod, StartInterval time.Duration
	// Retries is how many failures in a row mean that it doesn't work.
	Retries int
}

// User is a user of the image. The zero value is the base's own, and
// 65532:65532 (nonroot) on scratch.
type User struct {
	// Name is used as it is if the base has it; otherwise it is added to
	// the base's accounts.
	Name string `json:"name,omitempty"`
	// UID and GID are the numbers to add it with. Zero UID: the first free
	// from 1000. Zero GID: the group of that name, else the UID.
	UID int `json:"uid,omitempty"`
	GID int `json:"gid,omitempty"`
	// Home is the home folder. Zero: /home/NAME.
	Home string `json:"home,omitempty"`
}

// File is a file or folder of the project to put into an image.
type File struct {
	// Source is the file or folder, relative to the Project's Dir; a folder
	// is copied with all below it. A pattern (path.Match), like conf/*.yaml, is
	// copied as each that matches would be. Empty: Path is a folder to make.
	Source string `json:"source,omitempty"`
	// Path is where it goes in the image, absolute. With a slash at its end
	// it is the folder that a file, or the files of a pattern, go into.
	Path string `json:"path"`
	// Mode is the permissions of what is copied. Zero: 0755 for folders and
	// executables, 0644 for other files.
	Mode fs.FileMode `json:"mode,omitempty"`
	// UID and GID own it. Zero: root.
	UID int `json:"uid,omitempty"`
	GID int `json:"gid,omitempty"`
	// Capabilities are as a Binary's, of each file that is copied.
	Capabilities []string `json:"capabilities,omitempty"`
}

// Bench says what package bench measures, and when it fails.
type Bench struct {
	// Platforms to measure, besides the host's own. Zero: the Project's.
	Platforms []string
	// Binaries to measure, by name. Zero: all.
	Binaries []string
	// Runs is how often each build is measured. Zero: a first run decides,
	// within Budget: 6, which give a confidence interval, or 10 of a build
	// that is over in seconds.
	Runs int
	// Budget bounds the whole. Zero: 30 minutes, or none with Runs.
	Budget time.Duration
	// Baseline is an earlier bench.json or bench.txt to compare with,
	// relative to Dir. Zero: none.
	Baseline string
	// Tolerance is by how many percent time or memory may be worse than the
	// Baseline's before that is an error. Zero: it never is.
	Tolerance float64
}

// Overrides are what one run changes in a Project, as the environment
// variables MULTIMAGE_* do. The zero value changes nothing.
type Overrides struct {
	// Platforms replace the Project's and limit those of binaries and
	// images; what has none left is skipped.
	Platforms []string
	// Registries replace the Project's and the images', and Aliases that are whole
	// names. Empty but not nil: none.
	Registries []string
	// Tags replace the Project's and the images', and PlatformTags.
	Tags []string
	// Images are the names of the only images to make.
	Images []string
	// Evidence replaces the Project's. Empty but not nil: none.
	Evidence []string
	// Sign replaces the Project's.
	Sign string
	// BuildCache replaces the Project's. off: none.
	BuildCache string
	// AllowDirty lets Manifest and Merge publish a checkout with uncommitted
	// changes under tags that don't say so.
	AllowDirty bool
	// Epoch is the time that goes into images. Zero: SOURCE_DATE_EPOCH, else the
	// commit's.
	Epoch time.Time
	// Version and Output replace the Project's.
	Version string
	Output  string
	// Cache is the folder for bases and layers, shared between projects.
	// Zero: multimage in os.UserCacheDir.
	Cache string
	// Bench's Runs, Budget, Baseline and Tolerance replace the Project's;
	// its Platforms and Binaries are not looked at.
	Bench Bench
}
