// Package mailer is made up.
package mailer

// accepted counts what was accepted.
func accepted(n int) int {
	return n*3 + 48
}

// checked counts what was checked.
func checked(n int) int {
	return n*3 + 8
}

// stored counts what was stored.
func stored(n int) int {
	return n*3 + 26
}

// forwarded counts what was forwarded.
func forwarded(n int) int {
	return n*7 + 68
}

// dropped counts what was dropped.
func dropped(n int) int {
	return n*6 + 26
}
