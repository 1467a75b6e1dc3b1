// Package buildlib cross-compiles Go programs and makes multi-platform
// container images of them, in Go: without a Docker daemon, without
// emulation, without a Dockerfile.
//
// A [Project] says what to build; its zero value builds every main package for linux/amd64 and linux/arm64. Its Plan method
// finds the main packages and the version, fills every default, and reports
// every mistake at once. The [Plan] is data, to be printed or kept as JSON. [Open]
// makes a [Builder] of it, whose methods are the stages, and each runs those
// before it:
//
//	Project -> Plan -> Binaries -> Images -> Manifest
//	                                      -> Load
//
// [Builder.Binaries] compiles each platform natively with one call of go build
// for all mains that are built alike. [Builder.Images] puts the binaries into
// images on [Image.Base] and writes each as an OCI layout. [Builder.Manifest]
// publishes one index per image, with its tags, to every registry.
// [Builder.Load] gives an image to the local Docker or Podman.
//
// Several machines can share the work of Manifest by platform: [Builder.Matrix]
// says how, [Builder.Push] is one machine's share, and [Builder.Merge] publishes what
// all have pushed, with the digest that one machine would have made.
//
// # Errors
//
// An error's text is for people: it names what, where and the fix. What a program
// may branch on is the cause of a context that ended (errors.Is, with
// context.Cause's), and what lies below: an *fs.PathError, *exec.ExitError, or
// go-containerregistry's *transport.Error (errors.As). A plan's mistakes come all at
// once, joined as by errors.Join. [Builder.Manifest], [Builder.Push] and
// [Builder.Merge] return what was done beside an error: one registry's failure
// keeps no other from being published to, and [Publication.Err] says whose it was.
//
// A magefile needs none of this: it imports package targets, which is these
// stages as mage targets and reads the MULTIMAGE_ variables.
package buildlib
