// Package temporal runs a Temporal server and its Web UI inside the calling
// process, on one SQLite file.
//
// It is the development stand-in for a Temporal cluster: the same frontend,
// history, matching and worker services, with the durability of a write-ahead
// log that is synced at its checkpoints. An update that was acknowledged
// survives a kill -9 of the process. It is not a way to run in production: the
// SQLite schema is made when the file is new and never migrated, so a file is
// only good for the server version that made it.
package temporal
