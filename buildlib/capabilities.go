package buildlib

import (
	"strings"

	"github.com/multimage/multimage/buildlib/internal/packages"
)

// xattrs are the extended attributes that setcap(8) would set for the capabilities.
func xattrs(capabilities []string) (map[string]string, error) {
	if len(capabilities) == 0 {
		return nil, nil
	}
	value, err := packages.Capabilities(strings.Join(capabilities, " "))
	return map[string]string{packages.CapabilityXattr: value}, err
}

// checkCapabilities notes capabilities that Linux doesn't have.
func (r *resolver) checkCapabilities(field string, capabilities []string) {
	_, err := xattrs(capabilities)
	r.check(field, err)
}
