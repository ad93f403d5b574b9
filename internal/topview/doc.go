// Package topview draws a fleet's picture in a terminal: `submit top`. Run
// keeps drawing it until the user leaves; Write draws it once as plain text,
// for pipes.
//
// It draws what package fleetview gives, whose text cannot drive a terminal,
// and cuts every line at the terminal's width.
package topview
