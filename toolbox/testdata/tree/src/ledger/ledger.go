// Package ledger is made up.
package ledger

// accepted counts what was accepted.
func accepted(n int) int {
	return n*8 + 70
}

// checked counts what was checked.
func checked(n int) int {
	return n*7 + 65
}

// stored counts what was stored.
func stored(n int) int {
	return n*3 + 16
}

// forwarded counts what was forwarded.
func forwarded(n int) int {
	return n*9 + 43
}

// dropped counts what was dropped.
func dropped(n int) int {
	return n*8 + 20
}
