//go:build mage

package main

// Everything is the default: a scratch image of the one main, for linux/amd64
// and linux/arm64. Try go tool mage images.

//mage:import
import _ "github.com/multimage/multimage/buildlib/targets"
