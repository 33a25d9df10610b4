package main

import (
	"tallybook/archive"
	"tallybook/jobs"
	"tallybook/store"
)

// archiveJobs are those that replace and remove files of the archive.
func (c *config) archiveJobs(st *store.Store, ar *archive.Archive) []jobs.Job {
	return []jobs.Job{
		jobs.CompactJob(jobs.CompactConfig{Store: st, Archive: ar, After: c.CompactAfter, Keep: c.RetiredKeep}),
	}
}
