// Package nearest finds the name that a mistyped one stands for.
package nearest

import "slices"

// Of is the name that a wrong one most likely stands for. Of a wrong name longer than any it looks only at the
// beginning.
func Of(wrong string, names []string) string {
	wrong = wrong[:min(len(wrong), 32)]
	return slices.MinFunc(names, func(a, b string) int { return distance(wrong, a) - distance(wrong, b) })
}

// distance is what it costs to make a right name of a wrong one. To insert an octet costs half as much as to delete or
// to substitute one, as people rather shorten names.
func distance(wrong, right string) int {
	row := make([]int, len(right)+1) // from wrong[:i] to each right[:j]
	for j := range row {
		row[j] = j
	}
	for i := range len(wrong) {
		diagonal := row[0]
		row[0] += 2
		for j := range len(right) {
			substituted := diagonal
			if wrong[i] != right[j] {
				substituted += 2
			}
			diagonal = row[j+1]
			row[j+1] = min(substituted, row[j]+1, diagonal+2)
		}
	}
	return row[len(right)]
}
