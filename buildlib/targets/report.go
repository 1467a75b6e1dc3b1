package targets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib"
	"github.com/multimage/multimage/buildlib/bench"
)

// binaries prints the path of each binary.
func (c *console) binaries(plan *buildlib.Plan, built []buildlib.BinaryResult) error {
	if len(built) == 0 {
		c.say("nothing to build: the platforms asked for leave out %s", strings.Join(plan.Skipped, ", "))
	}
	var b strings.Builder
	for _, r := range built {
		fmt.Fprintln(&b, near(r.Path))
	}
	return c.result(b.String())
}

// images prints each image's layout, and the closing table.
func (c *console) images(plan *buildlib.Plan, images []buildlib.ImageResult) error {
	c.write(platforms(images))
	c.skipped(plan)
	var b strings.Builder
	for _, image := range images {
		fmt.Fprintln(&b, layout(image))
	}
	return c.result(b.String())
}

// layout names an image in its layout.
func layout(image buildlib.ImageResult) string {
	return filepath.ToSlash(near(image.Layout)) + "@" + image.Digest.String()
}

// failed prints what became of the tags after a failure.
func (c *console) failed(ctx context.Context, images []buildlib.ImageResult) {
	if ctx.Err() == nil { // not interrupted
		c.write(tags(images))
	}
}

// published prints where each image is, and the closing tables.
func (c *console) published(plan *buildlib.Plan, images []buildlib.ImageResult) error {
	c.write(platforms(images), tags(images))
	c.skipped(plan)
	var b strings.Builder
	for _, image := range images {
		for _, ref := range image.Refs {
			fmt.Fprintln(&b, ref)
		}
		if len(image.Refs) == 0 && image.Layout != "" {
			c.say("no registry is configured: %s is tagged %s in the layout %s",
				image.Name, strings.Join(allTags(image), ", "), near(image.Layout))
			fmt.Fprintln(&b, layout(image))
		}
	}
	if err := c.result(b.String()); err != nil {
		return fmt.Errorf("published, but %w (%s has them)", err, near(filepath.Join(plan.Output, "images.json")))
	}
	return nil
}

// allTags are those of an image's index, and of its platforms' images.
func allTags(image buildlib.ImageResult) []string {
	all := slices.Clone(image.Tags)
	for _, p := range image.Platforms {
		all = append(all, p.Tags...)
	}
	return all
}

// pushed prints where each platform's image is, and where the records are.
func (c *console) pushed(plan *buildlib.Plan, records []buildlib.Record) error {
	c.recorded(plan, records)
	c.skipped(plan)
	var b strings.Builder
	for _, r := range records {
		for _, repo := range r.Repositories {
			fmt.Fprintln(&b, buildlib.Ref{Repository: repo, Digest: r.Digest})
		}
	}
	if err := c.result(b.String()); err != nil {
		return fmt.Errorf("pushed, but %w (%s has them)", err, near(filepath.Join(plan.Output, "digests")))
	}
	return nil
}

// pushFailed prints what was pushed and recorded before a failure.
func (c *console) pushFailed(ctx context.Context, plan *buildlib.Plan, records []buildlib.Record) {
	if ctx.Err() == nil && len(records) > 0 {
		c.recorded(plan, records)
	}
}

// recorded prints a table of the records, and where they are.
func (c *console) recorded(plan *buildlib.Plan, records []buildlib.Record) {
	c.write(func(w io.Writer) {
		fmt.Fprintln(w, "IMAGE\tPLATFORM\tSIZE\tDIGEST")
		last := ""
		for _, r := range records {
			name := r.Image
			if name == last {
				name = ""
			}
			last = r.Image
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", name, r.Platform, bytes(r.Size), short(r.Digest))
		}
	})
	c.say("records for ci:merge are in %s", near(filepath.Join(plan.Output, "digests")))
}

// locked prints a table of the packages that changed.
func (c *console) locked(changes []buildlib.PackageChange) error {
	c.write(packageTable(changes))
	if len(changes) == 0 {
		c.say("the packages are as they were")
	}
	return c.result("")
}

// bases prints a table of bases from Dockerfiles, and their references.
func (c *console) bases(built []buildlib.BaseResult) error {
	if len(built) == 0 {
		c.say("no image has a base from a Dockerfile")
		return c.result("")
	}
	c.write(func(w io.Writer) {
		fmt.Fprintln(w, "BASE\tPLATFORMS\tIS")
		for _, b := range built {
			fmt.Fprintf(w, "%s\t%d\t%s\n", b.Base, len(b.Platforms), short(b.Digest))
		}
	})
	var refs strings.Builder
	for _, b := range built {
		fmt.Fprintln(&refs, b.Ref)
	}
	return c.result(refs.String())
}

// outdated prints tables of bases and packages that would change, and all of it
// as JSON.
func (c *console) outdated(found buildlib.Outdated, data string) error {
	var bases func(w io.Writer)
	if len(found.Bases) > 0 {
		bases = func(w io.Writer) {
			fmt.Fprintln(w, "IMAGE\tPLATFORM\tBASE\tWAS\tIS")
			for _, b := range found.Bases {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", b.Image, b.Platform, b.Base, cmp.Or(b.Old, "-"), b.New)
			}
		}
	}
	c.write(bases, packageTable(found.Packages))
	return c.result(clean(data))
}

// packageTable is a table of packages with their old and new versions; nil if
// there are none.
func packageTable(changes []buildlib.PackageChange) func(w io.Writer) {
	if len(changes) == 0 {
		return nil
	}
	return func(w io.Writer) {
		fmt.Fprintln(w, "IMAGE\tPLATFORM\tPACKAGE\tWAS\tIS")
		for _, p := range changes {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", p.Image, p.Platform, p.Name, cmp.Or(p.Old, "-"), cmp.Or(p.New, "-"))
		}
	}
}

// loaded prints what was loaded, and how to run it.
func (c *console) loaded(loaded []buildlib.LoadResult) error {
	var b strings.Builder
	for _, l := range loaded {
		if l.Run == "" {
			c.say("loaded %s for %s into %s: name it in pods as %s", l.Name, l.Platform, l.Engine, l.Refs[0])
		} else {
			c.say("loaded %s for %s: run it with\n  %s", l.Name, l.Platform, l.Run)
		}
		if l.Note != "" {
			c.say("%s", l.Note)
		}
		for _, ref := range l.Refs {
			fmt.Fprintln(&b, ref)
		}
	}
	return c.result(b.String())
}

// archived prints the files, and what is in them.
func (c *console) archived(archives []buildlib.ArchiveResult) error {
	var b strings.Builder
	for _, a := range archives {
		c.say("wrote %s: %s", filepath.ToSlash(near(a.Path)), strings.Join(a.Refs, " "))
		fmt.Fprintln(&b, filepath.ToSlash(near(a.Path)))
	}
	return c.result(b.String())
}

// smoked prints a table of the images that were run.
func (c *console) smoked(results []buildlib.SmokeResult) error {
	c.write(func(w io.Writer) {
		fmt.Fprintln(w, "IMAGE\tPLATFORM\tDIGEST\tSMOKE\tTIME")
		for _, r := range results {
			outcome := "passed"
			if r.Skipped != "" {
				outcome = "skipped"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Image, r.Platform, short(r.Digest), outcome, elapsed(r.Elapsed))
		}
	})
	return nil
}

// benched prints the benchmark's table, and adds its report to GitHub's job summary.
func (c *console) benched(result *bench.Result) error {
	text := result.Table
	if result.Comparison != "" {
		text += "\n" + result.Comparison
	}
	written := c.result(clean(text))
	if result.Folder != "" {
		c.say("the report is %s", near(filepath.Join(result.Folder, "report.md")))
	}
	if summary := os.Getenv("GITHUB_STEP_SUMMARY"); summary != "" {
		// An empty line, so that the heading is one whatever comes before it.
		if err := appendTo(summary, "\n"+result.Markdown); err != nil {
			c.say("warning: GITHUB_STEP_SUMMARY: %v", err)
		}
	}
	return written
}

func appendTo(path, text string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.WriteString(text)
	return err
}

func (c *console) skipped(plan *buildlib.Plan) {
	if len(plan.Skipped) > 0 {
		c.say("skipped: not built for the requested platforms: %s", strings.Join(plan.Skipped, ", "))
	}
}

// platforms is a table of the images, platform by platform.
func platforms(images []buildlib.ImageResult) func(w io.Writer) {
	return func(w io.Writer) {
		fmt.Fprintln(w, "IMAGE\tPLATFORM\tSIZE\tDIGEST\tTIME")
		for _, image := range images {
			fmt.Fprintf(w, "%s\tindex\t\t%s\t\n", image.Name, short(image.Digest))
			for _, p := range image.Platforms {
				took := ""
				if p.Elapsed > 0 { // zero: built elsewhere
					took = elapsed(p.Elapsed)
				}
				fmt.Fprintf(w, "\t%s\t%s\t%s\t%s\n", p.Platform, bytes(p.Size), short(p.Digest), took)
			}
		}
	}
}

// tags is a table of what became of the tags, repository by repository; nil if there
// is no repository.
func tags(images []buildlib.ImageResult) func(w io.Writer) {
	const failures, refusals = 3, 4
	rows := [][]string{{"REPOSITORY", "WRITTEN", "UP TO DATE", "FAILED", "NOT ATTACHED"}}
	columns := map[int]bool{0: true, 1: true, 2: true} // to be shown
	for _, image := range images {
		for _, p := range image.Published {
			failed := strings.Join(p.Failed, ", ")
			if p.Err != nil {
				columns[failures] = true
				if failed == "" {
					failed = "the index" // it has no tags, or lacks an image
				}
			}
			columns[refusals] = columns[refusals] || len(p.NotAttached) > 0
			rows = append(rows, []string{p.Repository, strings.Join(p.Written, ", "), strings.Join(p.Current, ", "), failed, strings.Join(p.NotAttached, ", ")})
		}
	}
	if len(rows) == 1 {
		return nil
	}
	return func(w io.Writer) {
		for _, row := range rows {
			var cells []string
			for i, cell := range row {
				if columns[i] {
					cells = append(cells, cell)
				}
			}
			fmt.Fprintln(w, strings.Join(cells, "\t"))
		}
	}
}

// write prints tables with an empty line before and after each. Nil ones are left out.
func (c *console) write(tables ...func(w io.Writer)) {
	var b strings.Builder
	for _, fill := range tables {
		if fill == nil {
			continue
		}
		if b.Len() == 0 {
			fmt.Fprintln(&b)
		}
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		fill(w)
		w.Flush()
		fmt.Fprintln(&b)
	}
	c.print(func() { io.WriteString(c.err, clean(b.String())) })
}

func short(h v1.Hash) string { return shorten(h.String()) }

// bytes prints a size in decimal units, as registries do.
func bytes(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f kB", float64(n)/1e3)
}
