package activities

import "encoding/json"

// MarshalJSON adds the durations in words: the Temporal UI shows a time.Duration as a number
// of nanoseconds. The numbers stay, because workers of other versions and recorded
// histories have them; nothing reads the words.
func (f SwitchFacts) MarshalJSON() ([]byte, error) {
	type plain SwitchFacts
	return json.Marshal(struct {
		plain
		KeepOldText string `json:"keep_old_text"`
	}{plain(f), f.KeepOld.String()})
}

// MarshalJSON adds the duration in words, as that of SwitchFacts does.
func (c SwitchChange) MarshalJSON() ([]byte, error) {
	type plain SwitchChange
	return json.Marshal(struct {
		plain
		KeepLeftText string `json:"keep_left_text"`
	}{plain(c), c.KeepLeft.String()})
}
