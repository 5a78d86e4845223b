package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	simclient "spotkeeper/internal/ec2sim/client"
)

// tagMember names the fleet member that an instance carries. A machine image
// would know it; instances copied from one of ours carry the tag too.
const tagMember = "LogicalAgentId"

// Options say where the stack is.
type Options struct {
	API        string // base URL
	EC2        string // base URL of the simulator
	AdminToken string // empty: the api is open to operators on loopback
	StateFile  string // where the demo keeps its clients
	Out        io.Writer
	Log        *slog.Logger
	Once       bool // stop when every story was played; else they go on in turn
}

// member is one logical agent of the fleet.
type member struct {
	client, name, instanceType, zone string
	token, clientID                  string
	ec2                              *ec2.Client // EC2 as its client's account calls it

	mu      sync.Mutex
	agentID string
}

func (m *member) agent() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.agentID
}

// world starts an agent process on every running instance of a member, and ends
// it with its instance.
type world struct {
	o       Options
	api     *backend
	sim     *simclient.Client
	http    *http.Client
	start   time.Time
	members []*member

	mu        sync.Mutex // guards what follows
	running   map[string]context.CancelFunc
	announced map[string]bool // instances whose notice was reported
	procs     sync.WaitGroup
	out       sync.Mutex
}

func newWorld(o Options) *world {
	httpc := &http.Client{Timeout: 15 * time.Second}
	return &world{
		o:         o,
		api:       newBackend(o.API),
		sim:       simclient.NewClient(o.EC2, httpc),
		http:      httpc,
		start:     time.Now(),
		running:   map[string]context.CancelFunc{},
		announced: map[string]bool{},
	}
}

// ec2Of is EC2 as the holder of an account calls it.
func (w *world) ec2Of(account string) *ec2.Client {
	return ec2.New(ec2.Options{Region: "us-east-1", BaseEndpoint: aws.String(w.o.EC2), HTTPClient: w.http,
		Credentials: credentials.NewStaticCredentialsProvider(simclient.AccessKey(account), "demo", "")})
}

// say prints one sentence with the time since the start and who it is about.
func (w *world) say(m *member, format string, args ...any) {
	w.sayAt(w.pageOf(m), m, format, args...)
}

// sayAt prints a line of the story that ends with the address of a page of the console.
func (w *world) sayAt(page string, m *member, format string, args ...any) {
	who := "fleet"
	if m != nil {
		who = m.name
	}
	w.out.Lock()
	defer w.out.Unlock()
	at := time.Since(w.start)
	_, _ = fmt.Fprintf(w.o.Out, "%3d:%02d  %-10s %s  %s\n", int(at.Minutes()), int(at.Seconds())%60, who,
		fmt.Sprintf(format, args...), page)
}

// pageOf is the console's page of a member's agent; of the fleet without one.
func (w *world) pageOf(m *member) string {
	if m == nil || m.agent() == "" {
		return w.o.API + "/fleet"
	}
	return w.o.API + "/agents/" + url.PathEscape(m.agent())
}

// pageOfOperation is the console's page of an operation, whose id contains slashes.
func (w *world) pageOfOperation(o operation) string {
	return w.o.API + "/operations/" + url.PathEscape(o.ID)
}

// firstTime says whether an instance's notice is announced for the first time.
func (w *world) firstTime(instanceID string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := !w.announced[instanceID]
	w.announced[instanceID] = true
	return first
}

func (w *world) registered(m *member, agentID string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.agentID = agentID
}

// live keeps processes and instances together until ctx ends.
func (w *world) live(ctx context.Context) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		if state, err := w.sim.State(ctx); err == nil {
			w.follow(ctx, state.Instances)
		}
		select {
		case <-ctx.Done():
			w.procs.Wait()
			return
		case <-tick.C:
		}
	}
}

func (w *world) follow(ctx context.Context, instances []simclient.InstanceInfo) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, i := range instances {
		m := w.memberOf(i)
		if m == nil {
			continue
		}
		stop, lives := w.running[i.InstanceID]
		switch {
		case i.State == "running" && !lives:
			life, cancel := context.WithCancel(ctx)
			w.running[i.InstanceID] = cancel
			w.procs.Go(func() { w.supervise(life, m, i.InstanceID) })
		case i.State != "running" && i.State != "pending" && lives:
			stop()
			delete(w.running, i.InstanceID)
		}
	}
}

// supervise starts the agent again whenever it ends, as systemd does, until its
// machine is gone.
func (w *world) supervise(ctx context.Context, m *member, instanceID string) {
	for {
		p := &agentProcess{w: w, m: m, instanceID: instanceID}
		err := p.run(ctx)
		if ctx.Err() != nil {
			return
		}
		w.o.Log.Debug("agent process ended", "member", m.name, "instance_id", instanceID, "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(clocks.retry):
		}
	}
}

func (w *world) memberOf(i simclient.InstanceInfo) *member {
	for _, m := range w.members {
		if i.Tags[tagMember] == m.name || m.agent() != "" && i.Tags["spotkeeper:agent"] == m.agent() {
			return m
		}
	}
	return nil
}

// ensureInstance launches the member's first instance, once: the demo's own
// customers had theirs before they met the backend.
func (w *world) ensureInstance(ctx context.Context, m *member) error {
	state, err := w.sim.State(ctx)
	if err != nil {
		return err
	}
	for _, i := range state.Instances {
		if w.memberOf(i) == m && (i.State == "running" || i.State == "pending") {
			return nil
		}
	}
	images, err := m.ec2.DescribeImages(ctx, &ec2.DescribeImagesInput{
		Filters: []types.Filter{{Name: aws.String("architecture"), Values: []string{"x86_64"}}},
	})
	if err != nil {
		return err
	}
	if len(images.Images) == 0 {
		return errors.New("the simulator has no images")
	}
	tags := []types.Tag{{
		Key:   aws.String(tagMember),
		Value: aws.String(m.name),
	}, {Key: aws.String("Name"), Value: aws.String(m.name)}}
	_, err = m.ec2.RunInstances(ctx, &ec2.RunInstancesInput{
		ImageId:               images.Images[0].ImageId,
		InstanceType:          types.InstanceType(m.instanceType),
		MinCount:              aws.Int32(1),
		MaxCount:              aws.Int32(1),
		Placement:             &types.Placement{AvailabilityZone: aws.String(m.zone)},
		InstanceMarketOptions: &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot},
		TagSpecifications:     []types.TagSpecification{{ResourceType: types.ResourceTypeInstance, Tags: tags}},
	})
	return err
}

type quote struct {
	pool, az string
	price    float64
}

// prices asks the market as the deployed agents do.
func (m *member) prices(ctx context.Context, region, instanceType string) ([]quote, error) {
	out, err := m.ec2.DescribeSpotPriceHistory(ctx, &ec2.DescribeSpotPriceHistoryInput{
		InstanceTypes:       []types.InstanceType{types.InstanceType(instanceType)},
		ProductDescriptions: []string{"Linux/UNIX"},
		StartTime:           aws.Time(time.Now()),
	}, func(o *ec2.Options) { o.Region = region })
	if err != nil {
		return nil, err
	}
	var quotes []quote
	seen := map[string]bool{}
	for _, p := range out.SpotPriceHistory {
		az := aws.ToString(p.AvailabilityZone)
		price, err := strconv.ParseFloat(aws.ToString(p.SpotPrice), 64)
		if err != nil || seen[az] {
			continue
		}
		seen[az] = true
		quotes = append(quotes, quote{instanceType + "." + az, az, price})
	}
	return quotes, nil
}

// onDemand is the list price of the demo's instance types in us-east-1, USD per hour.
func (w *world) onDemand(instanceType string) float64 {
	switch instanceType {
	case "t3.medium":
		return 0.0416
	case "m5.large":
		return 0.096
	case "c5.large":
		return 0.085
	default:
		return 0.1 // what a deployed agent sends without a price
	}
}
