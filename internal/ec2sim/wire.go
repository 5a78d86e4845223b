package ec2sim

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	ec2Namespace = "http://ec2.amazonaws.com/doc/2016-11-15/"
	stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"
	stsVersion   = "2011-06-15"
	maxBody      = 1 << 20
)

// form is a request of the query protocol: lists are flattened to Name.1, Name.2.
type form url.Values

func (f form) get(name string) string { return url.Values(f).Get(name) }

func (f form) has(name string) bool { return url.Values(f).Has(name) }

// list returns Name.1, Name.2 and so on up to the first gap.
func (f form) list(name string) []string {
	var out []string
	for i := 1; ; i++ {
		v, ok := f[name+"."+strconv.Itoa(i)]
		if !ok || len(v) == 0 {
			return out
		}
		out = append(out, v[0])
	}
}

// anyUnder says whether a structure was sent: some key starts with its name.
func (f form) anyUnder(name string) bool {
	for key := range f {
		if strings.HasPrefix(key, name+".") {
			return true
		}
	}
	return false
}

func (f form) flag(name string) (bool, error) {
	switch v := f.get(name); v {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, invalid("Invalid value '%s' for %s", v, name)
	}
}

func (f form) number(name string, absent int) (int, error) {
	v := f.get(name)
	if v == "" {
		return absent, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		return 0, invalid("Invalid value '%s' for %s", v, name)
	}
	return n, nil
}

func (f form) moment(name string, absent time.Time) (time.Time, error) {
	v := f.get(name)
	if v == "" {
		return absent, nil
	}
	t, err := time.Parse(time.RFC3339Nano, v)
	if err != nil {
		return t, invalid("Invalid value '%s' for %s", v, name)
	}
	return t.UTC(), nil
}

// pairs reads a list of tags, as Tag.1.Key and Tag.1.Value.
func (f form) pairs(name string) ([]tag, error) {
	var out []tag
	for i := 1; f.has(name + "." + strconv.Itoa(i) + ".Key"); i++ {
		at := name + "." + strconv.Itoa(i)
		t := tag{Key: f.get(at + ".Key"), Value: f.get(at + ".Value")}
		if err := t.check(); err != nil {
			return nil, err
		}
		for _, former := range out {
			if former.Key == t.Key {
				return nil, invalid("Duplicate tag key '%s' specified.", t.Key)
			}
		}
		out = append(out, t)
	}
	if len(out) > maxTags {
		return nil, fail("TagLimitExceeded", "More than %d tags", maxTags)
	}
	return out, nil
}

// tagSpecifications reads TagSpecification.N by resource type.
func (f form) tagSpecifications(allowed ...string) (map[string][]tag, error) {
	out := map[string][]tag{}
	for i := 1; f.anyUnder("TagSpecification." + strconv.Itoa(i)); i++ {
		at := "TagSpecification." + strconv.Itoa(i)
		kind := f.get(at + ".ResourceType")
		known := false
		for _, a := range allowed {
			known = known || a == kind
		}
		if _, twice := out[kind]; twice || !known {
			return nil, invalid("'%s' is not a valid taggable resource type for this operation.", kind)
		}
		tags, err := f.pairs(at + ".Tag")
		if err != nil {
			return nil, err
		}
		out[kind] = tags
	}
	return out, nil
}

// reply is the part every answer shares.
type reply struct {
	RequestID string `xml:"requestId"`
}

func (r *reply) setRequestID(id string) { r.RequestID = id }

type replier interface{ setRequestID(id string) }

// done is the answer of actions that only say yes.
type done struct {
	reply
	Return bool `xml:"return"`
}

func writeXML(w http.ResponseWriter, status int, start xml.StartElement, v any) {
	var body bytes.Buffer
	body.WriteString(xml.Header)
	if err := xml.NewEncoder(&body).EncodeElement(v, start); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // the caller may be gone, which is no error here
}

func root(name, namespace string) xml.StartElement {
	return xml.StartElement{
		Name: xml.Name{Local: name},
		Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: namespace}},
	}
}

type ec2Fault struct {
	Code      string `xml:"Errors>Error>Code"`
	Message   string `xml:"Errors>Error>Message"`
	RequestID string `xml:"RequestID"`
}

type stsFault struct {
	Type      string `xml:"Error>Type"`
	Code      string `xml:"Error>Code"`
	Message   string `xml:"Error>Message"`
	RequestID string `xml:"RequestId"`
}

func writeFault(w http.ResponseWriter, service, requestID string, e *apiError) {
	if service == "sts" {
		blame := "Sender"
		if e.Status >= http.StatusInternalServerError {
			blame = "Receiver"
		}
		writeXML(w, e.Status, root("ErrorResponse", stsNamespace), stsFault{blame, e.Code, e.Message, requestID})
		return
	}
	writeXML(w, e.Status, xml.StartElement{Name: xml.Name{Local: "Response"}}, ec2Fault{e.Code, e.Message, requestID})
}

// stamp is a moment as EC2 writes it.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
