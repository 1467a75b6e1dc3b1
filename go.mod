module github.com/multimage/multimage

go 1.26.0

tool github.com/magefile/mage

require (
	github.com/google/go-containerregistry v0.22.1
	golang.org/x/sys v0.49.0
)

require github.com/magefile/mage v1.17.2 // indirect
