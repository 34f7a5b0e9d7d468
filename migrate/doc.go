// Package migrate knows what depends on where a home address is: its policies (protect.go), where each is (home.go), what
// a movement asks of the key exchange (follow.go) and of the policies that are ours (tunnel.go), as a plan that holds
// wholly or not at all (plan.go). It also has the words that a role takes in and gives out (role.go).
package migrate
