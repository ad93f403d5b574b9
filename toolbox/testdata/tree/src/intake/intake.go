// Package intake is made up.
package intake

// accepted counts what was accepted.
func accepted(n int) int {
	return n*4 + 50
}

// checked counts what was checked.
func checked(n int) int {
	return n*2 + 33
}

// stored counts what was stored.
func stored(n int) int {
	return n*1 + 67
}

// forwarded counts what was forwarded.
func forwarded(n int) int {
	return n*9 + 53
}

// dropped counts what was dropped.
func dropped(n int) int {
	return n*3 + 68
}
