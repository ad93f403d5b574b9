// Package command is what the toolbox's own tools share: options read from the
// command line and a help text that a registry can read back.
//
// A tool declares a [Command], binds its options to variables and calls
// [Command.Parse]. Both ways of calling a tool work: as a person types it
// (`grep -rn PATTERN DIR`) and as the fleet maps JSON input to arguments
// (`--pattern=PATTERN --path=DIR --recursive --line-number`).
//
// `--help` prints, in this order: `NAME VERSION`, the description, `Keywords:`,
// `PermissionLevel:`, `Usage:` and one line per option, `--long <STRING>` or
// `--long <NUMBER>`, a bare `--long` for a switch, then what it does with
// `[required]`, `[repeatable]`, `[default: ..]` and `[possible values: ..]`.
//
// The package imports neither fmt nor reflect nor flag: a guest is instantiated
// for every job, and each of them costs start-up time and size.
package command
