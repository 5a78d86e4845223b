package ec2sim

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
)

// filter is one Filter.N: the resource must have one of the values, where *
// stands for any text and ? for any character.
type filter struct {
	name   string
	values []string
}

// filters reads the request's filters. tag:<key>, tag-key and tag-value are
// always known; any other name must be among the known ones.
func (f form) filters(known ...string) ([]filter, error) {
	var out []filter
	for i := 1; f.has("Filter." + strconv.Itoa(i) + ".Name"); i++ {
		at := "Filter." + strconv.Itoa(i)
		one := filter{name: f.get(at + ".Name"), values: f.list(at + ".Value")}
		ofTags := strings.HasPrefix(one.name, "tag:") || one.name == "tag-key" || one.name == "tag-value"
		if !ofTags && !slices.Contains(known, one.name) {
			return nil, invalid("The filter '%s' is invalid", one.name)
		}
		if len(one.values) == 0 {
			return nil, fail("InvalidParameterValue", "The filter '%s' has no value", one.name)
		}
		out = append(out, one)
	}
	return out, nil
}

// match says whether a resource passes all filters. field returns what the
// resource has under a name.
func match(filters []filter, tags map[string]string, field func(name string) []string) bool {
	for _, f := range filters {
		var have []string
		switch key, ofTag := strings.CutPrefix(f.name, "tag:"); {
		case ofTag:
			if v, ok := tags[key]; ok {
				have = []string{v}
			}
		case f.name == "tag-key":
			for k := range tags {
				have = append(have, k)
			}
		case f.name == "tag-value":
			for _, v := range tags {
				have = append(have, v)
			}
		default:
			have = field(f.name)
		}
		if !slices.ContainsFunc(have, func(v string) bool {
			return slices.Contains(f.values, v) ||
				slices.ContainsFunc(f.values, func(pattern string) bool { return wild(pattern, v) })
		}) {
			return false
		}
	}
	return true
}

// wild matches text against a pattern with * and ?.
func wild(pattern, text string) bool {
	if !strings.ContainsAny(pattern, "*?") {
		return pattern == text
	}
	p, t, star, mark := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// page cuts one page out of items, which are sorted by key. The token names the
// last key shown, so that a page stays right while items come and go. limit
// bounds what the caller may ask for.
func page[T any](c *call, items []T, limit int, key func(T) string) (shown []T, next string, err error) {
	size, err := c.form.number("MaxResults", limit)
	if err != nil {
		return nil, "", err
	}
	if size < 1 || size > limit {
		return nil, "", invalid("Value ( %d ) for parameter maxResults is invalid. Expecting a value from 1 to %d.",
			size, limit)
	}
	if c.opts.PageSize > 0 && size > c.opts.PageSize {
		size = c.opts.PageSize
	}
	from := 0
	if sent := c.form.get("NextToken"); sent != "" {
		last, err := c.readToken(sent)
		if err != nil {
			return nil, "", err
		}
		for from < len(items) && key(items[from]) <= last {
			from++
		}
	}
	items = items[from:]
	if len(items) <= size {
		return items, "", nil
	}
	return items[:size], c.writeToken(key(items[size-1])), nil
}

// A page token belongs to the action that gave it out.

func (c *call) writeToken(at string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(c.action + "\n" + at))
}

func (c *call) readToken(token string) (string, error) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	action, at, ok := strings.Cut(string(raw), "\n")
	if err != nil || !ok || action != c.action {
		return "", badToken()
	}
	return at, nil
}

func badToken() error {
	return fail("InvalidPaginationToken", "The specified pagination token is not valid or is expired.")
}
