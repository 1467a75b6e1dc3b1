package process

import (
	"os"
	"slices"
	"strings"
)

// repository are the variables that bind git to a repository, such as git sets for its
// hooks: those that git rev-parse --local-env-vars lists (git 2.39.5), without
// configuration.
var repository = []string{
	"GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_DIR", "GIT_GRAFT_FILE", "GIT_IMPLICIT_WORK_TREE",
	"GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX", "GIT_NO_REPLACE_OBJECTS", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX",
	"GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE", "GIT_WORK_TREE",
}

// Environ is os.Environ without what binds git to a repository: in a hook, git would
// use the hook's in every folder. Configuration stays, because the go command may
// need it to download modules.
func Environ() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return slices.Contains(repository, name)
	})
}
