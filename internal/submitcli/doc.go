// Package submitcli is the command line of boxfleet's client: one file a verb.
// cmd/submit calls Program.Run and exits with what it returns.
//
// The client validates everything that needs no engine and links none. It
// talks to the fleet through package jobs and to the object store through
// package artifacts; a verb asks its session for the one or the other and so
// opens only the connections it needs.
//
// What a guest wrote reaches standard output and standard error as it is, byte
// for byte, when the user asked for the guest's output. Everywhere else, in
// tables and messages, text that came from others is printed without control
// characters.
package submitcli
