package rootfs

import (
	"io/fs"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/filetree"
)

// Spec is what the root file system of one image for one platform is made of.
type Spec struct {
	// Base is the file tree of the base. Nil: scratch.
	Base *filetree.Tree
	// Windows makes layers for Windows. Paths are those of drive C, written with
	// slashes; modes, owners and extended attributes are ignored; User.Name is an
	// account that the base has. If it is empty: BaseUser, or else ContainerUser.
	Windows bool
	// BaseUser is the User of the base's config.
	BaseUser string
	// Packages are the files of packages of the base's distribution; they get a
	// layer of their own, below all others.
	Packages []Entry
	// Binaries get a layer each, over that of the Files.
	Binaries []Executable
	Files    []File
	User     User
	// WorkDir and Volumes are folders that are made, and owned by the User, if
	// they aren't there. WorkDir may be empty.
	WorkDir string
	Volumes []string
	// CACerts and TZData add certificate roots and time zones if the base
	// has none; the zones are from ZoneInfo, the path of Go's
	// zoneinfo.zip on this machine.
	CACerts, TZData bool
	ZoneInfo        string
}

// Executable is a program to put into an image.
type Executable struct {
	Path   string  // in the image, absolute and clean
	Source string  // the file on this machine
	Digest v1.Hash // sha256 of its content
	Size   int64   // in bytes
	// Identity is that of Source when Digest was computed. If it is zero, or has
	// changed, the content is hashed again while it is compressed.
	Identity disk.Identity
	Mode     fs.FileMode // zero: 0755
	UID, GID int
	Xattrs   map[string]string // extended attributes (xattr(7))
}

// Rootfs is what a Builder made of a Spec.
type Rootfs struct {
	// Layers come on top of the base's, in this order.
	Layers []Layer
	// User is the User of the image's config, in numbers if they are known.
	User string
	// Tree is the file tree of all layers, with the base's.
	Tree *filetree.Tree
}

// Layer is a layer with its description for the image's history.
type Layer struct {
	v1.Layer
	Holds string
}
