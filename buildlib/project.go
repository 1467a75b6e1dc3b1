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
// A list that is nil means the default; one that is empty but not nil means none.
//
// These fields are templates (see [Facts]): Version, Tags, Registries and Labels;
// GoBuild's fields; Binary.Path; and Image's Repository, Aliases, Base, BinDir,
// WorkDir, Registries, Tags, PlatformTags, Entrypoint, Cmd, Env, Ports, Volumes,
// Healthcheck.Test, Labels, Smoke, and Source and Path of its Files. Elements of lists that
// render empty are left out. Other fields refuse {{.
type Project struct {
	// Dir is the folder of the Go module, relative to where the program
	// runs. Zero: the current folder.
	Dir string
	// Output is the folder for all results, relative to Dir. Zero: dist.
	Output string
	// Version is the version that is built. Zero: the highest version among HEAD's
	// tags that match TagPattern; else the nearest ancestor's, in the form of git
	// describe; else the commit's hash. It ends in -dirty if tracked files are
	// changed. Without git it is "dev", which Manifest doesn't publish.
	Version string
	// TagPattern is the pattern (path.Match) of tags that are versions. A prefix, like
	// release- in release-v*, isn't part of the version. If the module is in a
	// subfolder of its repository, its tags begin with PATH/, as for the go command.
	// Tags that aren't semantic versions are ignored. Zero: v*.
	TagPattern string
	// Tags are the tags of every image that sets none. A tag that renders
	// empty is dropped; Manifest refuses an image without any other. From a
	// checkout with uncommitted changes, Manifest publishes only tags that say so,
	// like {{.Version}}, which ends in -dirty. Zero: {{.Version}}.
	Tags []string
	// Registries are where images go: a registry with the path before the
	// image's name, like ghcr.io/acme. Zero: nowhere, the local layout only.
	Registries []string
	// Insecure are the registries (HOST or HOST:PORT) that may speak plain
	// HTTP. Those on the loopback interface always may.
	Insecure []string
	// Compression is the compression of new layers: gzip, which everything reads, or
	// zstd, which is smaller and faster. The base's layers aren't changed. Zero: gzip.
	Compression string
	// BuildCache is a repository, like ghcr.io/acme/cache, that shares compiled
	// packages between machines. Every build reads it; only builds with
	// Options.WriteBuildCache write to it. Zero, or off: none.
	BuildCache string
	// Bases is a repository, like ghcr.io/acme/bases, for bases that are built from
	// Dockerfiles, so that each is built only once. Zero: published images can't have
	// such bases. off: each machine keeps its own in Output.
	Bases string
	// Platforms are what to build for, as OS/ARCH[/VARIANT]. Zero:
	// linux/amd64, linux/arm64.
	Platforms []string
	// Binaries are the main packages to build. Zero: those found.
	Binaries []Binary
	// Images are the images to make. Zero: one from scratch per binary.
	// Empty: none.
	Images []Image
	// Go is how the go command builds binaries; a Binary's own Go replaces its fields.
	Go GoBuild
	// Labels are added to every image's own.
	Labels map[string]string
	// Runners are the labels of CI runners by platform, for Builder.Matrix. Platforms
	// that aren't built are ignored. Zero: ubuntu-latest.
	Runners map[string]string
	// Evidence lists the documents that are attached to images: sbom (SPDX 2.3),
	// cyclonedx (1.6), provenance (SLSA v1). Zero: sbom, provenance. Empty: none.
	Evidence []string
	// Sign says how images and their evidence are signed: with a private key
	// (PKCS#8, ECDSA P-256 or Ed25519) in a file, relative to Dir; with a key in an
	// environment variable, env://NAME; or keyless, by the program cosign. Zero: not
	// at all.
	Sign string
	// Render are files that Manifest and Merge write after all tags are published, with
	// the digests for deployments.
	Render []Render
	// Smoke says how images' Smoke is run.
	Smoke SmokeTests
	// Bench says what the benchmark measures.
	Bench Bench
}

// Render is a file made of a template over the published images.
type Render struct {
	// Template is a file with a template (package text/template), relative to Dir. In
	// it (image "NAME") is a [Published] image. It also has the functions and [Facts]
	// of Tags.
	Template string
	// Output is the file to write, relative to Dir, in Output: dist/values.yaml.
	Output string
}

// GoBuild has settings of the go command. A field that a Binary sets replaces the
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
	// CGO turns cgo on, with C compilers that are installed here. Zero: it is off.
	CGO CGO
}

// CGO names the C compilers of a platform, as commands with arguments, like
// {{if eq .Arch "arm64"}}aarch64-linux-gnu-gcc{{else}}gcc{{end}}. What else cgo
// reads (CGO_CFLAGS, CGO_LDFLAGS, PKG_CONFIG, ...) goes into Env.
type CGO struct {
	// CC compiles C. If it is off, or renders empty, cgo is off.
	CC string
	// CXX compiles C++. Zero: the go command's default, which is the host's.
	CXX string
}

// Binary is one main package.
type Binary struct {
	// Name is the name of the executable. Binaries for different platforms may have the
	// same name. Zero: the go command's default, the last element of the import path.
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
	// Mode is the permissions of the executable in images. Zero: 0755.
	Mode fs.FileMode
	// UID and GID are its owner in images. Zero: root.
	UID, GID int
	// Capabilities are the executable's in images, for users other than root, in the
	// syntax of setcap: cap_net_bind_service=ep.
	Capabilities []string
}

// Image is one container image: an index with an image per platform.
type Image struct {
	// Name names the image in layouts, results and messages.
	Name string
	// Repository is the repository's name below each registry. Zero: Name.
	Repository string
	// Aliases are further repositories for the same index: names below each
	// registry, or full names like docker.io/acme/router, which are left out if
	// Overrides.Registries is set.
	Aliases []string
	// Base is the base image: scratch; a registry reference (tag or digest);
	// oci:PATH, the folder or tar of an OCI layout; or dockerfile:PATH, a Dockerfile
	// or a folder with one, which a container engine builds once, see
	// Project.Bases. Zero: scratch.
	Base string
	// Packages are packages of the Base's distribution to add, by the names
	// that its package manager takes: NAME or NAME=VERSION. Builder.Lock chooses
	// their versions and dependencies and writes them to multimage.lock. Installing
	// them runs no program of the base.
	Packages []string
	// IgnoreScripts are the names of packages whose maintainer scripts may be
	// skipped, even if they would change something.
	IgnoreScripts []string
	// Binaries are the names of the binaries in the image. Zero: the image's Name.
	// Empty: none.
	Binaries []string
	// BinDir is the folder that binaries go to. Zero: /usr/local/bin, or C:\app.
	BinDir string
	// WorkDir is the working directory. If the base lacks it, it is created and
	// owned by User. Zero: the base's.
	WorkDir string
	// Platforms are the image's: for linux, or for windows with a Base for it.
	// Zero: the Project's for linux.
	Platforms []string
	// Registries replace the Project's; Tags too.
	Registries []string
	Tags       []string
	// PlatformTags are tags that point to the image for one platform instead of the
	// index, like {{.Version}}-{{.Arch}}{{.Variant}}. With empty Tags they are the
	// only tags, for services that don't accept an index. Overrides.Tags replaces
	// them if they are the only tags; otherwise it leaves them out.
	PlatformTags []string
	// User is the user that the entrypoint runs as.
	User User
	// Entrypoint is the command. Zero: the first binary.
	Entrypoint []string
	// Cmd are the default arguments. Zero: none, because the base's are for another
	// program.
	Cmd []string
	// BaseCommand takes Entrypoint and Cmd from the base where they aren't set:
	// both, or the base's Entrypoint with this Cmd. An image without binaries does so
	// anyway.
	BaseCommand bool
	// Env are environment variables, as KEY=VALUE, added to the base's.
	Env []string
	// Ports are the ports that the image exposes, as PORT[-PORT][/PROTOCOL],
	// added to the base's.
	Ports []string
	// Volumes are the paths of volumes, added to the base's. Folders that the base
	// lacks are created, as WorkDir is.
	Volumes []string
	// StopSignal is the signal that asks the container to stop, like
	// SIGQUIT or 3. Zero: the base's.
	StopSignal string
	// Healthcheck is how an engine checks that the container works, like HEALTHCHECK
	// in a Dockerfile. Zero: the base's.
	Healthcheck Healthcheck
	// Labels are labels of this image; they replace the Project's and the base's of
	// the same name. An empty value removes the label.
	Labels map[string]string
	// Files are copied into it.
	Files []File
	// CACerts adds Mozilla's roots where the base has none; TZData the
	// time zones. An image from scratch always has both.
	CACerts bool
	TZData  bool
	// Smoke is a test of the image before its tags move: on each platform the
	// entrypoint is run with these arguments, without a network, and has to exit with
	// 0. Zero: no test. Empty: no arguments.
	Smoke []string
}

// SmokeTests say how the tests of images (Image.Smoke) are run.
type SmokeTests struct {
	// Timeout is the time limit for a program. Zero: a minute.
	Timeout time.Duration
	// Unrunnable says what happens on platforms whose programs don't run here: skip is
	// a warning, fail an error. With fail, Merge also refuses images that weren't
	// tested where they were pushed. Zero: skip.
	Unrunnable string
}

// Healthcheck is a command that exits with 0 if the container works, else with 1.
// Times and numbers that are zero are the engine's defaults.
type Healthcheck struct {
	// Test is "CMD" and a program with its arguments, "CMD-SHELL" and one
	// command for the image's shell, or "NONE". Zero: the base's. Empty: none.
	Test []string
	// Interval is the time between two checks, and Timeout the time limit for one.
	Interval, Timeout time.Duration
	// StartPeriod is the time after the start in which failures don't count, and
	// StartInterval the time between two checks during it.
	StartPeriod, StartInterval time.Duration
	// Retries is how many failures in a row mean that the container doesn't work.
	Retries int
}

// User is a user of the image. The zero value is the base's user, and 65532:65532
// (nonroot) on scratch. On Windows, root is ContainerAdministrator and any other name is
// ContainerUser, which is also the default if the base names none.
type User struct {
	// Name is a user of the base, or a new one that is added to the base's accounts.
	Name string `json:"name,omitempty"`
	// UID and GID are the new user's. Zero UID: the first free one from 1000 up. Zero
	// GID: that of the group with the user's name, else the UID.
	UID int `json:"uid,omitempty"`
	GID int `json:"gid,omitempty"`
	// Home is the home folder. Zero: /home/NAME.
	Home string `json:"home,omitempty"`
}

// File is a file or folder of the project to put into an image.
type File struct {
	// Source is the file or folder, relative to the Project's Dir; a folder is copied
	// with everything below it. A pattern (path.Match), like conf/*.yaml, copies each
	// match. Empty: Path is a folder to create.
	Source string `json:"source,omitempty"`
	// Path is the absolute path in the image. With a slash at its end it is the folder
	// that a file, or the files of a pattern, go into.
	Path string `json:"path"`
	// Mode is the permissions of the copies. Zero: 0755 for folders and executables,
	// 0644 for other files.
	Mode fs.FileMode `json:"mode,omitempty"`
	// UID and GID are the owner. Zero: root.
	UID int `json:"uid,omitempty"`
	GID int `json:"gid,omitempty"`
	// Capabilities are those of each copied file, as a Binary's.
	Capabilities []string `json:"capabilities,omitempty"`
}

// Bench says what package bench measures, and when it fails.
type Bench struct {
	// Platforms to measure besides the host's. Zero: the Project's.
	Platforms []string
	// Binaries to measure, by name. Zero: all.
	Binaries []string
	// Runs is how often each build is measured. Zero: within Budget 6 times, enough for a
	// confidence interval, or 10 times if the first run takes only seconds.
	Runs int
	// Budget limits the time of all measurements. Zero: 30 minutes, or unlimited if
	// Runs is set.
	Budget time.Duration
	// Baseline is an earlier bench.json or bench.txt to compare with,
	// relative to Dir. Zero: none.
	Baseline string
	// Tolerance is by how many percent time or memory may exceed the Baseline's before
	// that is an error. Zero: any.
	Tolerance float64
}

// Overrides change a Project for one run, as the environment variables MULTIMAGE_*
// do. The zero value changes nothing.
type Overrides struct {
	// Platforms replace the Project's and limit those of binaries and images.
	// Binaries and images without any platform left are skipped.
	Platforms []string
	// Registries replace the Project's and the images', and Aliases that are full
	// names. Empty but not nil: none.
	Registries []string
	// Tags replace the Project's and the images', and PlatformTags.
	Tags []string
	// Images are the names of the images to make. Nil: all.
	Images []string
	// Evidence replaces the Project's. Empty but not nil: none.
	Evidence []string
	// Sign replaces the Project's.
	Sign string
	// BuildCache replaces the Project's. off: none.
	BuildCache string
	// Bases replaces the Project's.
	Bases string
	// AllowDirty lets Manifest and Merge publish a checkout with uncommitted
	// changes under tags that don't say so.
	AllowDirty bool
	// Epoch is the time that goes into images. Zero: SOURCE_DATE_EPOCH, else the
	// commit's time.
	Epoch time.Time
	// Version and Output replace the Project's.
	Version string
	Output  string
	// Cache is the folder for bases and layers, shared between projects.
	// Zero: multimage in os.UserCacheDir.
	Cache string
	// Bench's Runs, Budget, Baseline and Tolerance replace the Project's; its
	// Platforms and Binaries are ignored.
	Bench Bench
}
