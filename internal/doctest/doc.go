// Package doctest reads the manual and holds every command in it to the
// programs there are.
//
// A document is a script. Its fenced blocks of sh, bash and console, and its
// indented lines that begin with a program of boxfleet, are run in the order
// in which they stand, in one shell, in a directory that looks like a fresh
// clone, against a real fleet. Commands in running text (in backticks) are
// checked as synopses: the command and every flag that is named exist.
//
// What cannot be run in a test says so in an HTML comment before the block,
// which readers do not see:
//
//	<!-- doctest: parse-only: needs root -->    parsed: command, flags, values, make targets, Go packages
//	<!-- doctest: needs: clang -->              parsed, and run where DOCTEST_TOOLCHAINS=1 says that it is there
//	<!-- doctest: synopsis -->                  placeholders and brackets; command and flags exist
//	<!-- doctest: exit 131 -->                  runs, and ends with this code
//	<!-- doctest: setup                         shell, run before the block
//	echo '{"a": 1}' > a.json
//	-->
//	<!-- doctest: then                          shell, run after it: what the block must have done
//	test -s out/a.png
//	-->
//	<!-- doctest: not commands: a transcript -->
//
// In a console block lines that begin with "$ " are commands and the lines
// below are what they print. There "…" stands for any text, a line of "…" for
// any lines; times, ids, digests and ports count as equal (see [Same]).
package doctest
