package artifacts

import (
	"context"
	"time"
)

// cleanupTimeout bounds undoing something after its context ended.
const cleanupTimeout = 10 * time.Second

// cleanupContext keeps the values of ctx and outlives it by a little.
func cleanupContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
}
