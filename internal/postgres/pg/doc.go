// Package pg is the kit of the stores: the connection to Postgres, the translation of
// its errors into faults, pages of lists, rows into structs, and the SQL fragments that
// several stores share.
package pg
