package rootfs

import (
	"archive/tar"
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"strings"
)

// The OCI image spec doesn't describe layers for Windows. They are as hcsshim reads them
// (github.com/Microsoft/hcsshim/pkg/ociwclayer): the drive's files are below Files,
// registry hives below Hives, and each entry's securityRecord is its security
// descriptor.
const (
	windowsFiles = "/Files"
	windowsHives = "/Hives"
)

// ContainerUser is the account without privileges that every Windows base has.
const ContainerUser = "ContainerUser"

// windowsUsers is the number of the group Users (S-1-5-32-545), to which
// ContainerUser belongs. In the changes of a layer for Windows it is the UID of folders
// that the image's user may write to.
const windowsUsers = 545

// windowsAdministrators is the number of the group Administrators.
const windowsAdministrators = 544

// securityDescriptor returns a self-relative descriptor ([MS-DTYP], 2.4.6) with a
// built-in group as owner and group. It has no list of rights: those of the folder
// above are inherited.
func securityDescriptor(group uint32) string {
	sid := []byte{1, 2, 0, 0, 0, 0, 0, 5}                          // revision, two subauthorities, the NT authority
	sid = binary.LittleEndian.AppendUint32(sid, 32)                // BUILTIN
	sid = binary.LittleEndian.AppendUint32(sid, group)             // in it
	sd := []byte{1, 0, 0, 0x80}                                    // revision, self-relative
	sd = binary.LittleEndian.AppendUint32(sd, 20)                  // where the owner is
	sd = binary.LittleEndian.AppendUint32(sd, 20+uint32(len(sid))) // and the group
	sd = append(sd, make([]byte, 8)...)                            // no lists
	return base64.StdEncoding.EncodeToString(slices.Concat(sd, sid, sid))
}

// windowsAccount is the account that an image for Windows runs as.
func windowsAccount(s *Spec) account {
	return account{config: cmp.Or(s.User.Name, s.BaseUser, ContainerUser), uid: windowsUsers, gid: windowsUsers}
}

// systemFolders are the folders of the drive that every Windows has, in lower case. A
// layer sets the rights of all folders above its files, and the base's rights aren't
// known here.
var systemFolders = []string{"program files", "program files (x86)", "programdata", "users", "windows"}

// CheckWindowsPath returns an error if nothing can be put at the path of an image for
// Windows, which is written /app for C:\app.
func CheckWindowsPath(p string) error {
	for name := range strings.SplitSeq(strings.Trim(p, "/"), "/") {
		if strings.ContainsAny(name, `<>:"|?*\`) || strings.HasSuffix(name, ".") || strings.HasSuffix(name, " ") {
			return fmt.Errorf("%q is not a name that Windows takes", name)
		}
	}
	top, _, _ := strings.Cut(strings.Trim(strings.ToLower(p), "/"), "/")
	if slices.Contains(systemFolders, top) {
		return fmt.Errorf(`C:\%s is Windows's own, with rights that a layer would take away: use a folder of yours, like C:\app`, top)
	}
	return nil
}

// forWindows converts the changes of a layer to those of a layer for Windows. seen are
// the paths of the image's layers so far, by their lower case: Windows ignores case.
func forWindows(changes []change, seen map[string]string) ([]change, error) {
	list := []change{directory(windowsFiles, 0o755, 0, 0), directory(windowsHives, 0o755, 0, 0)}
	for _, c := range changes {
		if err := CheckWindowsPath(c.Path); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Path, err)
		}
		if c.Type != tar.TypeDir && c.Type != tar.TypeReg {
			return nil, fmt.Errorf("%s: is a link, which images for Windows can't have: copy the file instead", c.Path)
		}
		lower := strings.ToLower(c.Path)
		if other, ok := seen[lower]; ok && (other != c.Path || c.Type != tar.TypeDir) {
			return nil, fmt.Errorf("%s: %s is already there, and Windows takes both for one", c.Path, other)
		}
		seen[lower] = c.Path
		c.Path = path.Join(windowsFiles, c.Path)
		list = append(list, c)
	}
	for i := range list {
		c := &list[i]
		group := uint32(windowsAdministrators)
		if c.UID != 0 {
			group = windowsUsers
		}
		c.UID, c.GID, c.Xattrs, c.Security = 0, 0, nil, securityDescriptor(group)
	}
	slices.SortFunc(list, byPath)
	return list, nil
}
