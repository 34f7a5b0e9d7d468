// Command testsummary reads the output of "go test -json" and prints a line for each package, all that failed tests
// printed, which tests were skipped and why, and at last "N passed, N failed, N skipped". Its exit status is 1 when a
// test failed, or none ran. With -table FILE it compares that page with what the tests of interoperability have shown, and a
// difference is a failure; with -update it writes the page.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	page := flag.String("table", "", "the page of interoperability, a `file`")
	update := flag.Bool("update", false, "write the page")
	flag.Parse()
	s := newSummary(os.Stdout)
	if err := s.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testsummary:", err)
		os.Exit(1)
	}
	if *page != "" {
		if err := s.table.check(*page, *update); err != nil {
			fmt.Println(err)
			s.failed++
		}
	}
	if !s.finish() {
		os.Exit(1)
	}
}
