package report

import (
	"bufio"
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// result is a line of results in the Go benchmark format
// (https://go.dev/design/14313-benchmark-format), and the configuration that
// holds there.
type result struct {
	line   int
	name   string // without "Benchmark", and without the GOMAXPROCS at its end
	values []value
	config map[string]string // shared with other results: don't change it
}

// value is a number and its unit, as they are written.
type value struct {
	number float64
	unit   string
}

// maxprocs is what the testing package puts after a benchmark's name.
var maxprocs = regexp.MustCompile(`-[0-9]+$`)

// results reads all results of a file. An error is of the first line that
// begins like a result and isn't one, and names the file and the line. Other
// lines that the format doesn't know are passed over, as it demands.
func results(path string, data []byte) ([]result, error) {
	var all []result
	config := map[string]string{}
	scanner, line := bufio.NewScanner(bytes.NewReader(data)), 0
	for scanner.Scan() {
		line++
		text := scanner.Text()
		if rest, ok := strings.CutPrefix(text, "Benchmark"); ok {
			res, err := parseResult(rest)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", path, line, err)
			}
			if res != nil {
				res.line, res.config = line, config
				all = append(all, *res)
			}
			continue
		}
		if key, value, ok := configuration(text); ok && config[key] != value {
			changed := make(map[string]string, len(config)+1)
			for k, v := range config {
				changed[k] = v
			}
			if changed[key] = value; value == "" {
				delete(changed, key)
			}
			config = changed
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", path, line+1, err)
	}
	return all, nil
}

// parseResult reads what stands after "Benchmark": a name, how often it ran, and
// pairs of a value and its unit. A name alone is what go test -v prints when a
// benchmark begins: no result.
func parseResult(text string) (*result, error) {
	fields := strings.Fields(text)
	if len(fields) == 0 || fields[0] == text {
		return nil, nil
	}
	if len(fields) == 1 {
		return nil, fmt.Errorf("missing iteration count")
	}
	if _, err := strconv.Atoi(fields[1]); err != nil {
		return nil, fmt.Errorf("parsing iteration count: %w", unwrapped(err))
	}
	if len(fields) == 2 {
		return nil, fmt.Errorf("missing measurements")
	}
	res := &result{name: maxprocs.ReplaceAllString(fields[0], "")}
	for pair := fields[2:]; len(pair) > 0; pair = pair[2:] {
		number, err := strconv.ParseFloat(pair[0], 64)
		if err != nil {
			return nil, fmt.Errorf("parsing measurement: %w", unwrapped(err))
		}
		if len(pair) == 1 {
			return nil, fmt.Errorf("missing units")
		}
		res.values = append(res.values, value{number, pair[1]})
	}
	return res, nil
}

// unwrapped leaves out what strconv says of its own functions.
func unwrapped(err error) error {
	if number, ok := err.(*strconv.NumError); ok {
		return number.Err
	}
	return err
}

// configuration reads a line "key: value". A key begins with a lower case
// letter and has neither upper case nor white space; without a value it holds
// no more.
func configuration(text string) (key, value string, ok bool) {
	key, value, ok = strings.Cut(text, ":")
	first, _ := utf8.DecodeRuneInString(key)
	if !ok || !unicode.IsLower(first) || strings.ContainsFunc(key, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsUpper(r) }) {
		return "", "", false
	}
	trimmed := strings.TrimLeft(value, " \t")
	return key, trimmed, value == "" || trimmed != value
}
