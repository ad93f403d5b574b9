package jobs

import "github.com/nats-io/nats.go/jetstream"

// stopWatch ends a watch that may not have been read to its end. The watch
// hands entries over by a channel of 256; whoever stops reading leaves the
// goroutine that fills it behind, unless what is on its way is taken.
func stopWatch(w jetstream.KeyWatcher) {
	if w.Stop() != nil {
		return // the connection is gone, and the subscription with it
	}
	for range w.Updates() { // closed when the subscription has ended
	}
}
