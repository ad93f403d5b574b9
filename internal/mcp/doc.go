// Package mcp offers a fleet's tools to agents by the Model Context Protocol
// (https://modelcontextprotocol.io). `submit mcp` is its program.
//
// A [Server] lists those tools of the registry that its operator's [Scope]
// lets an agent see, and runs every call as one job of the queue: it resolves
// nothing itself that a worker would not check again, links no engine, and
// holds no right that the tenant's client has not. What it adds are the
// agent's side of things:
//
//   - names, descriptions and schemas as the protocol wants them, cleaned of
//     characters that hide text from people (tools.go, clean.go, schema.go);
//   - a job from a call's arguments, and the call's answer from the job's
//     result (call.go, answer.go);
//   - files: one work directory, staged for each call and, when its operator
//     allows, written back (workspace.go); whatever a job leaves can be read
//     as a resource (resource.go);
//   - progress while a job waits and runs (progress.go), and an end to jobs
//     nobody waits for any more (calls.go);
//   - one connection over standard input and output, or many over HTTP on
//     loopback with a bearer token (http.go).
//
// Everything a tool, its manifest or an agent says is input from strangers.
package mcp
