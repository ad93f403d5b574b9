// Package grep is the grep tool: lines that match an RE2 regular expression, in
// files, trees or standard input.
//
// Where the time goes on a big tree decides how it is made. A file is read into
// one reused buffer and never split into lines. The expression is asked for the
// literals of which one must be in every match; the buffer is searched for these
// with Horspool's skips, and only a line that holds one is given to the regexp
// engine. Lines are numbered by counting newlines between matches, when asked.
//
// Exit codes are grep's: 0 a line was selected, 1 none, 2 an error.
package grep
