// Package migrate knows what depends on where a home address is: its policies as a function of the care-of address
// (protect.go), one movement of them as a plan that holds wholly or not at all (plan.go), and which movement asks what
// of the key exchange (home.go).
package migrate
