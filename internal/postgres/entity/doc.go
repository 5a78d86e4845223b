// Package entity maps tables to structs, one struct per table, for GORM. Every column is
// named; a nullable column is a pointer. A test compares the structs with the schema.
// The schema itself is the migrations' alone.
package entity

// MappedTables lists one value of each mapped struct.
func MappedTables() []any {
	return []any{
		Operation{},
		OperationStep{},
		Switch{},
		Notification{},
		Event{},
		Pause{},
		Sink{},
		EndedSession{},
		ModelSession{},
		ModelFile{},
	}
}
