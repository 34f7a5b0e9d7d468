package configs

import "slices"

// nearest is the name that the fewest insertions, deletions and substitutions of an octet lead to from a wrong one. Of a
// wrong name longer than any it looks at the beginning.
func nearest(wrong string, names []string) string {
	wrong = wrong[:min(len(wrong), 32)]
	return slices.MinFunc(names, func(a, b string) int { return distance(wrong, a) - distance(wrong, b) })
}

func distance(a, b string) int {
	row := make([]int, len(b)+1) // from a[:i] to each b[:j]
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substituted := diagonal
			if a[i] != b[j] {
				substituted++
			}
			diagonal = row[j+1]
			row[j+1] = min(substituted, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
