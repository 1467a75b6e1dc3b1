// Package buildlib cross-compiles Go programs and makes multi-platform
// container images of them, in Go: without a Docker daemon, without
// emulation, without a Dockerfile.
//
// A [Project] says what to build; its zero value builds every main package for
// linux/amd64 and linux/arm64. Its Plan method finds the main packages and the
// version, fills in every default, and reports all mistakes at once. The [Plan] is
// data, to be printed or kept as JSON. [Open] makes a [Builder] from it. The
// Builder's methods are the stages; each runs those before it:
//
//	Project -> Plan -> Binaries -> Images -> Manifest
//	                                      -> Load
//	                                      -> Smoke
//
// [Builder.Binaries] compiles each platform natively with one call of go build
// for all mains that are built alike. [Builder.Images] puts the binaries into
// images on [Image.Base] and writes each as an OCI layout. [Builder.Manifest]
// publishes one index per image, with its tags, to every registry.
// [Builder.Load] gives an image to the local Docker or Podman, and [Builder.Smoke]
// runs each platform's image, as Manifest does before it moves a tag.
//
// Several machines can share the work of Manifest by platform: [Builder.Matrix]
// lists the jobs, [Builder.Push] is one machine's share, and [Builder.Merge]
// publishes what all of them have pushed, with the digest that one machine would
// have made.
//
// # Errors
//
// An error's text is for people: it says what failed, where, and what to do. A
// program may branch on the cause of a context that ended (errors.Is with
// context.Cause) and on what an error wraps: an *fs.PathError, an *exec.ExitError,
// or go-containerregistry's *transport.Error (errors.As). A project's mistakes are
// returned together, as by errors.Join. [Builder.Manifest], [Builder.Push] and
// [Builder.Merge] return what was done along with the error: if one registry fails,
// the others are still published to, and [Publication.Err] says which one failed.
//
// A magefile needs none of this: it imports package targets, which offers these
// stages as mage targets and reads the MULTIMAGE_ variables.
package buildlib
