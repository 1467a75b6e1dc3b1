// A module of its own: what golang.org/x/perf needs is no business of those
// who use multimage.
module github.com/multimage/multimage/buildlib/bench/internal/report/testdata/benchfmt

go 1.26.0

require (
	github.com/multimage/multimage v0.0.0
	golang.org/x/perf v0.0.0-20260908200009-22c9c6c9d4da
)

require (
	github.com/aclements/go-moremath v0.0.0-20210112150236-f10218a38794 // indirect
	github.com/google/go-containerregistry v0.22.1 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/multimage/multimage => ../../../../../..
