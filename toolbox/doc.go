// Package toolbox has no code of its own: its tests hold the manifests in tools
// against the tools and run every module of dist on real input. The tools are in
// cmd and wat; README.md tells how to add one.
package toolbox
