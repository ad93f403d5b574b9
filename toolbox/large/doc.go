// Package large has no code of its own: its tests run the large tools as jobs of
// a real fleet, which is `worker dev` with its queue, its store and its sandbox.
// They need `make build` and `make toolbox-large` first; `make
// toolbox-large-test` does all three.
package large
