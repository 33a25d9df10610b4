package broker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
)

// logger passes kfake's messages on and keeps its errors: saving the snapshot
// reports them nowhere else.
type logger struct {
	log *slog.Logger
	mu  sync.Mutex
	err error // the last error
}

func (l *logger) Logf(level kfake.LogLevel, format string, args ...any) {
	at := slog.LevelDebug // kfake's info is about single requests
	switch level {
	case kfake.LogLevelError:
		at = slog.LevelError
		l.mu.Lock()
		l.err = fmt.Errorf(format, args...)
		l.mu.Unlock()
	case kfake.LogLevelWarn:
		at = slog.LevelWarn
	}
	if l.log.Enabled(context.Background(), at) {
		l.log.Log(context.Background(), at, "embedded broker: "+fmt.Sprintf(format, args...))
	}
}

func (l *logger) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		return nil
	}
	return fmt.Errorf("embedded broker: %w", l.err)
}
