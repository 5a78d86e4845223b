package pages

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/flight"
	"spotkeeper/internal/postgres/views"
)

// InstancePageViews is the part of postgres.Views that an instance's panel reads.
type InstancePageViews interface {
	Agent(ctx context.Context, clientID, id string) (*views.AgentView, error)
	InstancePlace(ctx context.Context, clientID, id string) (*views.InstancePlace, error)
	InstanceMetrics(ctx context.Context, clientID, id string) (*views.InstanceMetrics, error)
	PoolsOf(ctx context.Context, instanceType, region string) ([]views.PoolPriceView, error)
	TypesOf(ctx context.Context, family, region string) ([]string, error)
	OnDemandPrice(ctx context.Context, instanceType, region string) (float64, error)
	PriceHistory(ctx context.Context, instanceType, region, unit string, since time.Time) ([]views.PriceSeries, error)
	Chart(
		ctx context.Context,
		instanceType, region, unit string,
		since time.Time,
	) ([]views.PoolPriceView, []views.PriceSeries, error)
	NewestOnlineAgent(ctx context.Context, clientID string) (agentID string, found bool, err error)
}

// InstancePages serve the panel of one instance, and prices over time.
type InstancePages struct {
	Views InstancePageViews
	Now   func() time.Time

	charts    flight.Group[chartQuestion, *web.Written[priceHistoryAnswer]]
	histories flight.Group[chartQuestion, []views.PriceSeries]
}

// Routes lists the endpoints.
func (p *InstancePages) Routes() []web.Route {
	const one = "/api/client/instances/:instance_id"
	return []web.Route{
		{
			Method:   http.MethodGet,
			Path:     one + "/pricing",
			ID:       "getInstancePricing",
			Summary:  "Compare the pools an instance could live in",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(p.pricing),
		},
		{
			Method:   http.MethodGet,
			Path:     one + "/metrics",
			ID:       "getInstanceMetrics",
			Summary:  "Read how an instance fares",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(p.metrics),
		},
		{
			Method:   http.MethodGet,
			Path:     one + "/price-history",
			ID:       "getInstancePriceHistory",
			Summary:  "Read the prices of an instance's pools over time",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(p.priceHistory),
		},
		{
			Method:   http.MethodGet,
			Path:     one + "/available-options",
			ID:       "getInstanceOptions",
			Summary:  "List the pools and types an instance could move to",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(p.options),
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/client/pricing-history",
			ID:       "getPricingHistory",
			Summary:  "Read the prices around an agent over time",
			Auth:     web.Agent,
			Status:   200,
			Endpoint: web.NewEndpoint(p.pricingHistory),
		},
	}
}

type namedPool struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	AZ   string `json:"az"`
}

type pricedPool struct {
	namedPool
	Price   float64 `json:"price"`   // USD per hour; 0: not reported in the last hour
	Savings float64 `json:"savings"` // percent of the on-demand price
}

type instancePricing struct {
	CurrentMode string       `json:"currentMode"`
	CurrentPool *namedPool   `json:"currentPool"`
	OnDemand    namedPrice   `json:"onDemand"`
	Pools       []pricedPool `json:"pools"`
}

type namedPrice struct {
	Name  string  `json:"name"`
	Price float64 `json:"price"`
}

func (p *InstancePages) pricing(ctx context.Context, in *web.InstancePath) (*instancePricing, error) {
	place, err := p.Views.InstancePlace(ctx, web.TenantScope(ctx), in.InstanceID)
	if err != nil {
		return nil, err
	}
	pools, err := p.Views.PoolsOf(ctx, place.InstanceType, place.Region)
	if err != nil {
		return nil, err
	}
	out := &instancePricing{
		CurrentMode: pageMode(place.Mode),
		OnDemand:    namedPrice{Name: "On-Demand", Price: place.OnDemandPrice},
		Pools:       []pricedPool{},
	}
	if id := spotPool(place.Mode, place.PoolID); id != nil {
		out.CurrentPool = &namedPool{ID: *id, Name: web.PoolName(place.InstanceType, place.AZ), AZ: place.AZ}
	}
	for _, x := range pools {
		price := web.ValueOr(x.Price, 0)
		out.Pools = append(out.Pools, pricedPool{
			namedPool: namedPool{ID: x.ID, Name: web.PoolName(x.InstanceType, x.AZ), AZ: x.AZ},
			Price:     price,
			Savings:   savingsOf(place.OnDemandPrice, price),
		})
	}
	return out, nil
}

// savingsOf is what a price saves, in percent; 0 when either is not known.
func savingsOf(onDemand, price float64) float64 {
	if onDemand <= 0 || price <= 0 {
		return 0
	}
	return (onDemand - price) / onDemand * 100
}

// pageMode is a mode as pages know them: an unknown mode counts as on demand.
func pageMode(mode string) string {
	if mode == string(agent.Spot) {
		return mode
	}
	return string(agent.OnDemand)
}

type metricsAnswer struct {
	ID               string  `json:"id"`
	InstanceType     string  `json:"instanceType"`
	CurrentMode      string  `json:"currentMode"`
	CurrentPoolID    *string `json:"currentPoolId"`
	SpotPrice        float64 `json:"spotPrice"`
	OnDemandPrice    float64 `json:"onDemandPrice"`
	BaselinePrice    float64 `json:"baselineOnDemandPrice"`
	UptimeHours      int     `json:"uptimeHours"`
	SinceSwitchHours int     `json:"hoursSinceLastSwitch"`
	Switches         int     `json:"totalSwitches"`
	Switches7        int     `json:"switchesLast7Days"`
	Switches30       int     `json:"switchesLast30Days"`
	Savings30        float64 `json:"savingsLast30Days"`
	Savings          float64 `json:"totalSavings"`
}

func (p *InstancePages) metrics(ctx context.Context, in *web.InstancePath) (*metricsAnswer, error) {
	m, err := p.Views.InstanceMetrics(ctx, web.TenantScope(ctx), in.InstanceID)
	if err != nil {
		return nil, err
	}
	return &metricsAnswer{
		ID:               m.ID,
		InstanceType:     m.InstanceType,
		CurrentMode:      m.Mode,
		CurrentPoolID:    spotPool(m.Mode, m.PoolID),
		SpotPrice:        m.SpotPrice,
		OnDemandPrice:    m.OnDemandPrice,
		BaselinePrice:    m.BaselinePrice,
		UptimeHours:      m.UptimeHours,
		SinceSwitchHours: m.SinceSwitchHours,
		Switches:         m.Switches,
		Switches7:        m.Switches7,
		Switches30:       m.Switches30,
		Savings30:        m.Savings30,
		Savings:          m.Savings,
	}, nil
}

type optionsAnswer struct {
	CurrentType    string       `json:"currentType"`
	CurrentRegion  string       `json:"currentRegion"`
	CurrentAZ      string       `json:"currentAz"`
	AvailablePools []optionPool `json:"availablePools"`
	AvailableTypes []string     `json:"availableTypes"`
	Pools          []optionPool `json:"pools"`         // the same, as newer pages ask for it
	InstanceTypes  []string     `json:"instanceTypes"` // likewise
}

type optionPool struct {
	ID           string   `json:"id"`
	AZ           string   `json:"az"`
	InstanceType string   `json:"instanceType"`
	Price        *float64 `json:"price"`
}

func (p *InstancePages) options(ctx context.Context, in *web.InstancePath) (*optionsAnswer, error) {
	place, err := p.Views.InstancePlace(ctx, web.TenantScope(ctx), in.InstanceID)
	if err != nil {
		return nil, err
	}
	pools, err := p.Views.PoolsOf(ctx, place.InstanceType, place.Region)
	if err != nil {
		return nil, err
	}
	family, _, _ := strings.Cut(place.InstanceType, ".")
	types, err := p.Views.TypesOf(ctx, family, place.Region)
	if err != nil {
		return nil, err
	}
	out := &optionsAnswer{
		CurrentType:    place.InstanceType,
		CurrentRegion:  place.Region,
		CurrentAZ:      place.AZ,
		AvailablePools: []optionPool{},
		AvailableTypes: web.EmptyIfNil(types),
	}
	for _, x := range pools {
		out.AvailablePools = append(out.AvailablePools, optionPool{
			ID:           x.ID,
			AZ:           x.AZ,
			InstanceType: x.InstanceType,
			Price:        x.Price,
		})
	}
	out.Pools, out.InstanceTypes = out.AvailablePools, out.AvailableTypes
	return out, nil
}

type priceHistoryRequest struct {
	web.InstancePath
	Days     string `json:"-" form:"days" doc:"1 to 90, 7 by default"`
	Interval string `json:"-" form:"interval" doc:"hour, the default, or day"`
}

// priceHistoryAnswer is a chart: each point has a key per pool, and under
// "measured" how much of each pool's price was seen and not interpolated, 0 to 1.
type priceHistoryAnswer struct {
	Data          []map[string]any `json:"data"`
	Pools         []keyedPool      `json:"pools"`
	OnDemandPrice float64          `json:"onDemandPrice"`
}

type keyedPool struct {
	namedPool
	Key string `json:"key"`
}

func (p *InstancePages) priceHistory(
	ctx context.Context,
	in *priceHistoryRequest,
) (*web.Written[priceHistoryAnswer], error) {
	place, err := p.Views.InstancePlace(ctx, web.TenantScope(ctx), in.InstanceID)
	if err != nil {
		return nil, err
	}
	days, err := strconv.Atoi(cmp.Or(in.Days, "7"))
	if err != nil {
		days = 7
	}
	q := chartQuestion{
		instanceType: place.InstanceType,
		region:       place.Region,
		onDemand:     place.OnDemandPrice,
		since:        p.since(min(max(days, 1), 90)),
	}
	q.unit, q.layout = chartUnit(in.Interval, "2006-01-02 15:00")
	return p.charts.Do(ctx,
		q, func(ctx context.Context) (*web.Written[priceHistoryAnswer], error) { return p.chart(ctx, q) })
}

// chartQuestion is what a chart depends on: the same for all instances of a type
// in a region.
type chartQuestion struct {
	instanceType, region string
	onDemand             float64 // USD per hour, where a point does not know its own
	unit, layout         string
	since                time.Time
}

func (p *InstancePages) chart(ctx context.Context, q chartQuestion) (*web.Written[priceHistoryAnswer], error) {
	pools, series, err := p.Views.Chart(ctx, q.instanceType, q.region, q.unit, q.since)
	if err != nil {
		return nil, err
	}
	return writeChart(q, pools, series), nil
}

// since is the start of the chart, at a whole hour, so that the first point is
// not a part of one.
func (p *InstancePages) since(days int) time.Time {
	return p.Now().UTC().Truncate(time.Hour).AddDate(0, 0, -days)
}

// chartUnit reads the interval of a chart: hours, or for anything else days.
func chartUnit(interval, hourLayout string) (unit, layout string) {
	if interval == "" || interval == "hour" {
		return "hour", hourLayout
	}
	return "day", "2006-01-02"
}

type pricingHistoryRequest struct {
	AgentID  string `json:"-" form:"agent_id" doc:"by default the online agent that was heard last"`
	Days     *int   `json:"-" form:"days" doc:"1 to 30, 7 by default"`
	Interval string `json:"-" form:"interval" doc:"hour, the default, or day"`
}

type pricingHistoryAnswer struct {
	History      []historyPoint `json:"history"`
	Days         int            `json:"days"`
	DataPoints   int            `json:"data_points"`
	AgentID      *string        `json:"agent_id"`
	InstanceType string         `json:"instance_type"`
	Region       string         `json:"region"`
}

type historyPoint struct {
	Timestamp string       `json:"timestamp"`
	OnDemand  float64      `json:"ondemand_price"`
	SpotPools []zonedPrice `json:"spot_pools"`
}

type zonedPrice struct {
	PoolID   string  `json:"pool_id"`
	AZ       string  `json:"az"`
	Price    float64 `json:"price"`
	Measured float64 `json:"measured" doc:"share of the price that was seen and not interpolated, 0 to 1"`
}

func (p *InstancePages) pricingHistory(
	ctx context.Context,
	in *pricingHistoryRequest,
) (*web.Written[pricingHistoryAnswer], error) {
	scope, id := web.TenantScope(ctx), in.AgentID
	if id == "" {
		newest, found, err := p.Views.NewestOnlineAgent(ctx, scope)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, agent.NotFound.New("No active agents found")
		}
		id = newest
	}
	a, err := p.Views.Agent(ctx, scope, id)
	if err != nil {
		return nil, err
	}
	days := min(max(web.ValueOr(in.Days, 7), 1), 30)
	q := chartQuestion{instanceType: web.Deref(a.InstanceType), region: web.Deref(a.Region), since: p.since(days)}
	q.unit, q.layout = chartUnit(in.Interval, "2006-01-02 15:00:00")
	if q.onDemand, err = p.Views.OnDemandPrice(ctx, q.instanceType, q.region); err != nil {
		return nil, err
	}
	series, err := p.histories.Do(ctx, q, func(ctx context.Context) ([]views.PriceSeries, error) {
		return p.Views.PriceHistory(ctx, q.instanceType, q.region, q.unit, q.since)
	})
	if err != nil {
		return nil, err
	}
	var named *string
	if in.AgentID != "" {
		named = &a.ID
	}
	return writePricingHistory(q, days, named, series), nil
}
