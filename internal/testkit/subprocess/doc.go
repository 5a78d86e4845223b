// Package subprocess has what differs between systems when a test starts another
// program.
package subprocess
