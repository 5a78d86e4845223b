package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/pricing"
	"github.com/aws/aws-sdk-go-v2/service/pricing/types"
)

// priceListRegion is where the price list of all regions of a partition is served, to a
// control plane in region: https://docs.aws.amazon.com/general/latest/gr/billing.html
func priceListRegion(region string) string {
	if strings.HasPrefix(region, "cn-") {
		return "cn-northwest-1"
	}
	return "us-east-1"
}

// noPriceTTL is how long it is remembered that a type has no price.
const noPriceTTL = time.Hour

// ListPrice is a price of the public price list.
type ListPrice struct {
	Amount   float64 // for an hour, or for a GB and month
	Currency string  // USD, or CNY in China
}

// listKey names what is asked for: an instance type with a product, or a kind of volume.
type listKey struct{ region, instanceType, product, volume string }

type listPrice struct {
	ListPrice // zero: the list has none

	until time.Time
}

// operations are the codes by which bills and the price list name what EC2 calls platform
// details: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/billing-info-fields.html
var operations = map[string]string{
	Product:                            "RunInstances",
	"Red Hat BYOL Linux":               "RunInstances:00g0",
	"Red Hat Enterprise Linux":         "RunInstances:0010",
	"Red Hat Enterprise Linux with HA": "RunInstances:1010",
	"Red Hat Enterprise Linux with HA and SQL Server Standard":   "RunInstances:1014",
	"Red Hat Enterprise Linux with HA and SQL Server Enterprise": "RunInstances:1110",
	"Red Hat Enterprise Linux with SQL Server Standard":          "RunInstances:0014",
	"Red Hat Enterprise Linux with SQL Server Web":               "RunInstances:0210",
	"Red Hat Enterprise Linux with SQL Server Enterprise":        "RunInstances:0110",
	"SQL Server Enterprise":                                      "RunInstances:0100",
	"SQL Server Standard":                                        "RunInstances:0004",
	"SQL Server Web":                                             "RunInstances:0200",
	"SUSE Linux":                                                 "RunInstances:000g",
	"Ubuntu Pro":                                                 "RunInstances:0g00",
	"Windows":                                                    "RunInstances:0002",
	"Windows BYOL":                                               "RunInstances:0800",
	"Windows with SQL Server Enterprise":                         "RunInstances:0102",
	"Windows with SQL Server Standard":                           "RunInstances:0006",
	"Windows with SQL Server Web":                                "RunInstances:0202",
}

// OnDemandPrice returns the Linux list price of an instance type for an hour, from the
// public price list; it is the same for all accounts. Fails with ec2.no_price.
func (p *Provider) OnDemandPrice(ctx context.Context, region, instanceType string) (ListPrice, error) {
	return p.ProductPrice(ctx, region, instanceType, Product)
}

// ProductPrice returns the list price of an instance type for an hour with a product, in the
// words of EC2's platform details. Fails with ec2.no_price.
func (p *Provider) ProductPrice(ctx context.Context, region, instanceType, product string) (ListPrice, error) {
	if operations[product] == "" {
		return ListPrice{}, NoPrice.New("the price list has no operation for %q", product)
	}
	return p.listedPrice(ctx, listKey{region: region, instanceType: instanceType, product: product})
}

// VolumePrice returns the list price of a GB and month of a kind of volume, such as gp3.
// Fails with ec2.no_price.
func (p *Provider) VolumePrice(ctx context.Context, region, kind string) (ListPrice, error) {
	return p.listedPrice(ctx, listKey{region: region, volume: kind})
}

// listedPrice returns what the list says. Prices are kept for Options.PriceTTL, and callers
// that ask for the same at once share one call. When the list cannot be read, a price that
// has grown old is better than none.
func (p *Provider) listedPrice(ctx context.Context, key listKey) (ListPrice, error) {
	p.priceMu.Lock()
	had, known := p.listed[key]
	p.priceMu.Unlock()
	if !known || !p.opts.Now().Before(had.until) {
		fresh, err := p.askPrice(ctx, key)
		switch {
		case err == nil:
			had = fresh
		case !known || had.Amount == 0:
			return ListPrice{}, err
		}
	}
	if had.Amount == 0 {
		return ListPrice{}, NoPrice.New("the price list has no on-demand price for %s in %s",
			cmp.Or(key.instanceType, key.volume), key.region)
	}
	return had.ListPrice, nil
}

// askPrice reads the price once for all concurrent callers. The call is detached from the
// first caller, who may give up before the others.
func (p *Provider) askPrice(ctx context.Context, key listKey) (listPrice, error) {
	answer := p.priceCall.DoChan(fmt.Sprint(key), func() (any, error) {
		ctx, cancel := p.read(context.WithoutCancel(ctx))
		defer cancel()
		found, err := p.readPrice(ctx, key)
		if err != nil {
			return listPrice{}, err
		}
		price := listPrice{found, p.opts.Now().Add(p.opts.PriceTTL)}
		if found.Amount == 0 {
			price.until = p.opts.Now().Add(noPriceTTL)
		}
		p.priceMu.Lock()
		defer p.priceMu.Unlock()
		p.listed[key] = price
		return price, nil
	})
	select {
	case got := <-answer:
		price, _ := got.Val.(listPrice)
		return price, got.Err
	case <-ctx.Done():
		return listPrice{}, classify(ctx, ctx.Err(), "reading the price list")
	}
}

// filters select the one product that is meant: for instances shared hardware, in use, and
// for Linux nothing pre-installed.
func (k listKey) filters() [][2]string {
	switch {
	case k.volume != "":
		return [][2]string{{"regionCode", k.region}, {"productFamily", "Storage"}, {"volumeApiName", k.volume}}
	case k.product != Product:
		return [][2]string{{"regionCode", k.region}, {"instanceType", k.instanceType},
			{"operation", operations[k.product]}, {"tenancy", "Shared"}, {"capacitystatus", "Used"}}
	}
	return [][2]string{
		{"regionCode", k.region}, {"instanceType", k.instanceType}, {"operatingSystem", "Linux"},
		{"tenancy", "Shared"}, {"preInstalledSw", "NA"}, {"capacitystatus", "Used"},
	}
}

func (p *Provider) readPrice(ctx context.Context, key listKey) (ListPrice, error) {
	in := &pricing.GetProductsInput{ServiceCode: aws.String("AmazonEC2"), FormatVersion: aws.String("aws_v1")}
	for _, f := range key.filters() {
		in.Filters = append(in.Filters, types.Filter{
			Type:  types.FilterTypeTermMatch,
			Field: aws.String(f[0]),
			Value: aws.String(f[1]),
		})
	}
	for {
		out, err := p.prices.GetProducts(ctx, in)
		if err != nil {
			return ListPrice{}, classify(ctx, err, "reading the price list")
		}
		for _, doc := range out.PriceList {
			if price := parseListPrice(doc); price.Amount > 0 {
				return price, nil
			}
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return ListPrice{}, nil
		}
	}
}

// product is the part of a price list document that says what an hour costs.
type product struct {
	Terms struct {
		OnDemand map[string]struct {
			PriceDimensions map[string]struct {
				Unit         string            `json:"unit"`
				PricePerUnit map[string]string `json:"pricePerUnit"`
			} `json:"priceDimensions"`
		} `json:"OnDemand"`
	} `json:"terms"`
}

// currencies are those of AWS's partitions. A document has one of them.
var currencies = []string{"USD", "CNY", "EUR"}

// parseListPrice returns the price in a document, zero when it has none: products that are
// free or priced otherwise are in the list too.
func parseListPrice(doc string) (best ListPrice) {
	var p product
	if json.Unmarshal([]byte(doc), &p) != nil {
		return best
	}
	for _, term := range p.Terms.OnDemand {
		for _, d := range term.PriceDimensions {
			if d.Unit != "Hrs" && d.Unit != "GB-Mo" && d.Unit != "" {
				continue
			}
			for _, currency := range currencies {
				amount, err := strconv.ParseFloat(d.PricePerUnit[currency], 64)
				if err == nil && amount > best.Amount {
					best = ListPrice{amount, currency}
				}
			}
		}
	}
	return best
}
