// Package permission decides what a tool's permission level lets a job have.
//
// A level is part of a tool's manifest: what a person said about the tool when
// it was registered. It does two things. It caps what a RunOption may grant
// that tool, so that a tool registered as a reader is never given a directory
// to write to, whoever asks. And it can be capped itself: by the operator of a
// worker, by the operator for one tenant, and by the tier of an agent.
//
// Three callers ask the same question with the same words: the client before
// it submits (an early and clear error), a listing before it offers a tool to
// an agent, and the worker before it runs a job. Only the last is binding: it
// looks the level up by the module's digest, so a job cannot lie about it.
package permission
