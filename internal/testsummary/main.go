// Command testsummary reads the output of "go test -json" and prints a line for each package, all that failed tests
// printed, which tests were skipped and why, and at last "N passed, N failed, N skipped". Its exit status is 1 when a
// test failed, or none ran.
package main

import (
	"fmt"
	"os"
)

func main() {
	s := newSummary(os.Stdout)
	if err := s.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testsummary:", err)
		os.Exit(1)
	}
	if !s.finish() {
		os.Exit(1)
	}
}
