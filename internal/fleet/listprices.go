package fleet

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/pricing"
	"github.com/aws/aws-sdk-go-v2/service/pricing/types"
)

// priceListRegion is where the price list of all regions is served.
const priceListRegion = "us-east-1"

// noPriceTTL is how long it is remembered that a type has no price.
const noPriceTTL = time.Hour

type listKey struct{ region, instanceType string }

type listPrice struct {
	usd   float64 // 0: the list has none
	until time.Time
}

// OnDemandPrice returns the Linux list price of an instance type in USD per hour,
// from the public price list; it is the same for all accounts. Prices are kept
// for Options.PriceTTL, and callers that ask for the same at once share one call.
// When the list cannot be read, a price that has grown old is better than none.
// Fails with ec2.no_price.
func (p *Provider) OnDemandPrice(ctx context.Context, region, instanceType string) (float64, error) {
	key := listKey{region, instanceType}
	p.priceMu.Lock()
	had, known := p.listed[key]
	p.priceMu.Unlock()
	if !known || !p.opts.Now().Before(had.until) {
		fresh, err := p.askPrice(ctx, key)
		switch {
		case err == nil:
			had = fresh
		case !known || had.usd == 0:
			return 0, err
		}
	}
	if had.usd == 0 {
		return 0, NoPrice.New("the price list has no on-demand price for %s in %s", instanceType, region)
	}
	return had.usd, nil
}

// askPrice reads the price once for all who ask at the same time. The call is
// detached from the one who came first, who may give up before the others.
func (p *Provider) askPrice(ctx context.Context, key listKey) (listPrice, error) {
	answer := p.priceCall.DoChan(key.region+"/"+key.instanceType, func() (any, error) {
		ctx, cancel := p.read(context.WithoutCancel(ctx))
		defer cancel()
		usd, err := p.readPrice(ctx, key)
		if err != nil {
			return listPrice{}, err
		}
		price := listPrice{usd, p.opts.Now().Add(p.opts.PriceTTL)}
		if usd == 0 {
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

// readPrice asks for the one product that an ordinary instance is: shared
// hardware, Linux, nothing pre-installed, in use.
func (p *Provider) readPrice(ctx context.Context, key listKey) (float64, error) {
	in := &pricing.GetProductsInput{ServiceCode: aws.String("AmazonEC2"), FormatVersion: aws.String("aws_v1")}
	for _, f := range [][2]string{
		{"regionCode", key.region}, {"instanceType", key.instanceType}, {"operatingSystem", "Linux"},
		{"tenancy", "Shared"}, {"preInstalledSw", "NA"}, {"capacitystatus", "Used"},
	} {
		in.Filters = append(in.Filters, types.Filter{
			Type:  types.FilterTypeTermMatch,
			Field: aws.String(f[0]),
			Value: aws.String(f[1]),
		})
	}
	for {
		out, err := p.prices.GetProducts(ctx, in)
		if err != nil {
			return 0, classify(ctx, err, "reading the price list")
		}
		for _, doc := range out.PriceList {
			if usd := parseListPrice(doc); usd > 0 {
				return usd, nil
			}
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return 0, nil
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

// parseListPrice returns the hourly price in a document, 0 when it has none: products
// that are free or priced otherwise are in the list too.
func parseListPrice(doc string) float64 {
	var p product
	if json.Unmarshal([]byte(doc), &p) != nil {
		return 0
	}
	best := 0.0
	for _, term := range p.Terms.OnDemand {
		for _, d := range term.PriceDimensions {
			usd, err := strconv.ParseFloat(d.PricePerUnit["USD"], 64)
			if err == nil && usd > best && (d.Unit == "Hrs" || d.Unit == "") {
				best = usd
			}
		}
	}
	return best
}
