// Package archivetest gives tests a bucket: one in memory, or with the build tag
// postgres, under which tests run on the parts of a cluster, one of an S3 server.
package archivetest
