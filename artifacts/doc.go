// Package artifacts moves bytes between the object store and a worker's disk:
// modules, inputs and outputs.
//
// Everything that does not change is named by its SHA-256: a blob is an object
// under "blobs/sha256/<hex>", a tree is a small document, itself a blob, that
// lists the files of a directory by digest. Content is verified while it is
// downloaded, so neither the store nor anyone who can write to it is trusted
// with integrity.
//
// On a worker, [Cache] keeps blobs and whole trees on disk under a size bound,
// [Stage] fills a job's private directory from a prefix or a tree, [Collect]
// uploads what the job left there, and [Store.CommitManifest] publishes the
// result once, whoever else tries. [Workspaces] owns those private directories
// and sweeps what a killed worker left.
//
// Keys and file names come from tenants and guests and are treated as hostile:
// see [RelPath] for what is refused. A worker asks [Access] before it uses its
// own credentials for a name that a job brought along.
//
// Errors carry a kind for [errors.Is] ([ErrNotFound], [ErrNoSpace], ...) and a
// fate by [Class]: permanent errors are the job's, transient ones the
// infrastructure's, and only those are worth another attempt.
package artifacts
