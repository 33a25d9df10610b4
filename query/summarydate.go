package query

import (
	"time"

	"tallybook/schemas"
)

// parseISODate reads a date of summary-v2.md.
func parseISODate(text string) (time.Time, error) { return schemas.ParseISODate(text) }

func microsTime(micros int64) time.Time { return time.UnixMicro(micros).UTC() }
