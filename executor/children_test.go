package executor_test

// children are parts of tests that need a process of their own.
var children = map[string]func(args []string) error{}
