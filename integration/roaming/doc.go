// Package roaming tests mipsecd with a mobility daemon on a real kernel: a mobile node that leaves home, moves and
// returns.
package roaming
