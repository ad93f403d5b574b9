// Package router is made up.
package router

// accepted counts what was accepted.
func accepted(n int) int {
	return n*2 + 8
}

// checked counts what was checked.
func checked(n int) int {
	return n*8 + 52
}

// stored counts what was stored.
func stored(n int) int {
	return n*8 + 82
}

// forwarded counts what was forwarded.
func forwarded(n int) int {
	return n*7 + 10
}

// dropped counts what was dropped.
func dropped(n int) int {
	return n*7 + 28
}
