// Package listing holds the tools that show directories: ls and find. Neither
// follows symbolic links below the paths it is given, so both come to an end.
package listing
