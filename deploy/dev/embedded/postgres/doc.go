// Package postgres runs a Postgres server of the stack's own: its binaries are
// the machine's or downloaded, its data lives in a directory of the stack, it
// listens on loopback only and it keeps what was committed, over restarts and
// over a kill -9.
//
// Every user of the machine may connect, as is usual for a development
// database; other hosts cannot.
package postgres
