// Package storetest gives tests a store's URL: an SQLite file, or with the build
// tag postgres a schema of its own in the database that POSTGRES_TEST_URL
// names (scripts/postgres.sh with …). So every test of whatever uses a store runs
// on both engines.
package storetest
