package ec2sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"spotkeeper/internal/ec2sim/derive"
)

// priceQuery is GetProducts of the Pricing API.
type priceQuery struct {
	ServiceCode string
	Filters     []struct{ Type, Field, Value string }
	NextToken   string
	MaxResults  int
}

type priceAnswer struct {
	FormatVersion string
	PriceList     []string
	NextToken     string `json:",omitempty"`
}

const pricePage = 100

// serveJSON answers the services with a JSON protocol: the price list, which is what the
// market is built on, Service Quotas, and SQS with its one queue.
func (s *Server) serveJSON(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-Requestid", requestID())
	answer, err := s.answerJSON(r)
	if errors.Is(err, errDropped) {
		panic(http.ErrAbortHandler)
	}
	code, body := http.StatusOK, answer
	if err != nil {
		var e *apiError
		if !errors.As(err, &e) {
			e = &apiError{"InternalErrorException", err.Error(), http.StatusInternalServerError}
		}
		code, body = e.Status, map[string]string{"__type": e.Code, "message": e.Message}
	}
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // the caller may be gone
}

func (s *Server) answerJSON(r *http.Request) (any, error) {
	who, err := s.identify(r)
	if err != nil {
		return nil, err
	}
	c := &call{caller: who, opts: s.opts, form: form{}}
	service, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	c.action = action
	if service == "AmazonSQS" {
		return s.answerQueue(c, r)
	}
	switch c.action {
	case "GetProducts":
		return s.products(c, r)
	case "ListServiceQuotas":
		return s.listQuotas(c, r)
	}
	return nil, fail("UnknownOperationException", "There is no operation %s.", c.action)
}

func (s *Server) products(c *call, r *http.Request) (*priceAnswer, error) {
	var q priceQuery
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		return nil, fail("SerializationException", "The request cannot be read: %v", err)
	}
	var answer priceAnswer
	_, err := s.perform(r.Context(), c, func(*call) (replier, error) {
		found, err := q.run()
		answer = found
		return nil, err
	})
	return &answer, err
}

func (q priceQuery) run() (priceAnswer, error) {
	out := priceAnswer{FormatVersion: "aws_v1", PriceList: []string{}}
	if q.ServiceCode != "AmazonEC2" {
		return out, fail("InvalidParameterException", "There is no service %q here.", q.ServiceCode)
	}
	size := q.MaxResults
	if size == 0 {
		size = pricePage
	}
	if size < 1 || size > pricePage {
		return out, fail("InvalidParameterException", "MaxResults must be from 1 to %d.", pricePage)
	}
	from := 0
	if q.NextToken != "" {
		n, err := strconv.Atoi(q.NextToken)
		if err != nil || n < 0 {
			return out, fail("InvalidNextTokenException", "The next token is invalid.")
		}
		from = n
	}
	found := slices.DeleteFunc(listedProducts(), func(p product) bool {
		for _, f := range q.Filters {
			if p.attributes[f.Field] != f.Value {
				return true
			}
		}
		return false
	})
	for n := from; n < len(found); n++ {
		if len(out.PriceList) == size {
			out.NextToken = strconv.Itoa(n)
			break
		}
		text, err := found[n].document()
		if err != nil {
			return out, err
		}
		out.PriceList = append(out.PriceList, text)
	}
	return out, nil
}

// product is one line of the price list.
type product struct {
	sku        string
	attributes map[string]string
	price      float64
	unit       string
	currency   string
}

func listedProducts() []product {
	var out []product
	for _, r := range regions {
		for _, t := range typeList {
			for _, os := range osProducts {
				out = append(out, listedInstance(r, t, os))
			}
		}
		for _, kind := range slices.Sorted(maps.Keys(volumePrices)) {
			out = append(out, product{
				sku:   strings.ToUpper(fmt.Sprintf("%016x", derive.HashText(r.name+kind))),
				price: volumePrices[kind] * r.factor, unit: "GB-Mo", currency: r.currency,
				attributes: map[string]string{
					"servicecode":   "AmazonEC2",
					"productFamily": "Storage",
					"regionCode":    r.name,
					"location":      r.location,
					"volumeApiName": kind,
				},
			})
		}
	}
	return out
}

func listedInstance(r region, t instanceType, os osProduct) product {
	return product{
		sku:   strings.ToUpper(fmt.Sprintf("%016x", derive.HashText(r.name+t.name+os.system))),
		price: t.onDemand(r) + os.licence(t)*r.factor, unit: "Hrs", currency: r.currency,
		attributes: map[string]string{
			"servicecode":     "AmazonEC2",
			"productFamily":   "Compute Instance",
			"instanceType":    t.name,
			"instanceFamily":  t.family,
			"regionCode":      r.name,
			"location":        r.location,
			"locationType":    "AWS Region",
			"operatingSystem": os.system,
			"operation":       os.operation,
			"tenancy":         "Shared",
			"preInstalledSw":  "NA",
			"capacitystatus":  "Used",
			"licenseModel":    "No License required",
			"marketoption":    "OnDemand",
			"vcpu":            strconv.Itoa(t.vcpus),
			"memory":          strconv.FormatFloat(float64(t.memoryMiB)/1024, 'f', -1, 64) + " GiB",
		},
	}
}

// document is the line as the Pricing API nests it.
func (p product) document() (string, error) {
	const term, dimension = ".JRTCKXETXF", ".6YS6EN2CT7"
	published := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Format(time.RFC3339)
	text, err := json.Marshal(map[string]any{
		"serviceCode": "AmazonEC2", "version": "20260101000000", "publicationDate": published,
		"product": map[string]any{"productFamily": p.attributes["productFamily"], "sku": p.sku, "attributes": p.attributes},
		"terms": map[string]any{"OnDemand": map[string]any{p.sku + term: map[string]any{
			"sku": p.sku, "offerTermCode": term[1:], "effectiveDate": published, "termAttributes": map[string]any{},
			"priceDimensions": map[string]any{p.sku + term + dimension: map[string]any{
				"unit":       p.unit,
				"rateCode":   p.sku + term + dimension,
				"beginRange": "0",
				"endRange":   "Inf",
				"appliesTo":  []string{},
				"description": fmt.Sprintf("%s %g per %s of %s%s", p.currency, p.price, p.unit,
					p.attributes["instanceType"], p.attributes["volumeApiName"]),
				"pricePerUnit": map[string]string{p.currency: strconv.FormatFloat(p.price, 'f', 10, 64)},
			}},
		}}},
	})
	return string(text), err
}
