package wording

import "strings"

// Nearest returns the candidate with the fewest edits from s, if they are at most a third
// of the longer one's length; else an empty string.
func Nearest(s string, candidates []string) string {
	best, distance := "", -1
	for _, c := range candidates {
		d := edits(strings.ToLower(s), strings.ToLower(c))
		if d <= max(len(s), len(c))/3 && (distance < 0 || d < distance) {
			best, distance = c, d
		}
	}
	return best
}

// edits is the Levenshtein distance of two short strings.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
