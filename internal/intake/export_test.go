package intake

// SetReached has a test hear of each step of a message.
func (i *Intake) SetReached(reached func(step string)) { i.reached = reached }
