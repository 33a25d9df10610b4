package engine

import "context"

// Slot waits until one more archive scan may run beside those of the engine, for
// answers that read the archive by themselves. Call release when it has ended.
func (e *Engine) Slot(ctx context.Context) (release func(), err error) {
	select {
	case e.scans <- struct{}{}:
		return func() { <-e.scans }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
