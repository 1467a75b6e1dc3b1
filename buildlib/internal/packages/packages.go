// Package packages is what the package managers of Alpine and Debian have in
// common for multimage: what a package is, how it is fetched, the lock file,
// and what packages leave in a file system. Package distro chooses and
// unpacks; nothing here runs a program of an image.
//
// Its files: packages, lock and fetch; contents and archive, what packages hold;
// accounts, capability, files and certificates, what the commands of their scripts
// do; script, reads, condition and shell, which of those commands a script runs.
package packages

import "fmt"

// Package is one version of a package, as a lock has it.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	URL     string `json:"url"`
	Size    int64  `json:"size"` // of the file at URL, in bytes
	SHA256  string `json:"sha256"`
}

func (p Package) String() string { return p.Name + " " + p.Version }

// ScriptError is the error of a maintainer script that would do something that
// is neither needless nor known here.
type ScriptError struct {
	Package string // name and version
	Script  string // postinst, post-install, trigger...
	Line    string // the first line that isn't known
}

func (e *ScriptError) Error() string {
	return fmt.Sprintf("package %s: its %s script would run %q, and scripts of packages aren't run here; name the package in IgnoreScripts if the image doesn't need that, or build the base from a Dockerfile",
		e.Package, e.Script, e.Line)
}
