// Package e2e holds the end-to-end tests: the real mage, on real projects,
// against real registries and engines.
//
// TestScript (script_test.go, and the commands of scripts in scriptcmd, -file,
// -image and -registry) runs testdata/script. The tests in kill*, orphan and
// otherhost end runs from outside and look at what they leave; those in real*
// publish the examples to servers and run them in engines that are none of ours.
package e2e
