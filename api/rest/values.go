package rest

// deref is the string, empty when it is missing.
func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// nilIfEmpty is a pointer to the string, nil when it is empty.
func nilIfEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// valueOr is the value, or the other when it is missing.
func valueOr[T any](v *T, other T) T {
	if v == nil {
		return other
	}
	return *v
}

// valueOrNA is the string, or "n/a" when it is missing or empty.
func valueOrNA(s *string) string {
	if s == nil || *s == "" {
		return "n/a"
	}
	return *s
}

// chooseWord is one of two words.
func chooseWord(yes bool, then, otherwise string) string {
	if yes {
		return then
	}
	return otherwise
}

// boolPtr is the boolean that a store takes; nil stays nil.
func boolPtr(b *Bool) *bool {
	if b == nil {
		return nil
	}
	v := bool(*b)
	return &v
}

// emptyIfNil is the list, never nil: lists are [] on the wire and not null.
func emptyIfNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// mapRows maps the rows of a store to the items of an answer. The list is never nil.
func mapRows[In, Out any](found []In, err error, make1 func(In) Out) (*[]Out, error) {
	if err != nil {
		return nil, err
	}
	out := make([]Out, 0, len(found))
	for _, x := range found {
		out = append(out, make1(x))
	}
	return &out, nil
}
