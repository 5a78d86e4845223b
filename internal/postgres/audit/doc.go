// Package audit stores who did what: the entries of the audit log, and the trail, whose
// entries are chained by hashes.
package audit
