package main

import (
	"tallybook/archive"
	"tallybook/jobs"
	"tallybook/store"
)

// archiveJobs are those that replace files of the archive and remove what is old.
func (c *config) archiveJobs(st *store.Store, ar *archive.Archive) []jobs.Job {
	return []jobs.Job{
		jobs.CompactJob(jobs.CompactConfig{Store: st, Archive: ar, After: c.CompactAfter, Keep: c.RetiredKeep}),
		jobs.RetentionJob(jobs.RetentionConfig{Store: st, Mails: c.RetainMails, Errors: c.RetainErrors}),
	}
}
