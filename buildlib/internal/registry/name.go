package registry

import "github.com/google/go-containerregistry/pkg/name"

// hostName is a registry as people write it: Docker Hub has several names.
func hostName(host string) string {
	switch host {
	case name.DefaultRegistry, "registry-1.docker.io":
		return "docker.io"
	}
	return host
}

// displayName is a repository's name as people write it: docker.io/acme/x, where
// ggcr says index.docker.io/acme/x.
func displayName(repo name.Repository) string {
	return hostName(repo.RegistryStr()) + "/" + repo.RepositoryStr()
}
