package intake

// SetReached calls reached at each step of a message.
func (i *Intake) SetReached(reached func(step string)) { i.reached = reached }

var AgainAfter = againAfter
