package ec2sim_test

import (
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/fleet"
)

// TestMain has the property test play 40 histories, each of dozens of calls over HTTP.
// `make large` plays 1,000: the flag of the command line is parsed later.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "40"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

const (
	account = "111111111111"
	other   = "222222222222"
	east    = "us-east-1"
	zoneA   = "us-east-1a"
	zoneB   = "us-east-1b"
	poolA   = "m5.large.us-east-1a"
)

var start = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// cloud is a simulator behind a real server, with a frozen clock.
type cloud struct {
	*ec2.Client
	ctl *simclient.Client
	srv *httptest.Server
}

func newCloud(t *testing.T, o ec2sim.Options) *cloud {
	t.Helper()
	if o.Now == nil {
		o.Now = func() time.Time { return start }
	}
	return serve(t, ec2sim.New(o))
}

func serve(t *testing.T, sim *ec2sim.Server) *cloud {
	t.Helper()
	srv := httptest.NewServer(sim)
	t.Cleanup(func() {
		srv.Close()
		require.NoError(t, sim.Close())
	})
	c := &cloud{ctl: simclient.NewClient(srv.URL, srv.Client()), srv: srv}
	c.Client = c.as(account, east)
	return c
}

// as is the SDK's own client, in the name of an account and a region.
func (c *cloud) as(account, region string) *ec2.Client {
	return ec2.New(ec2.Options{
		Region:       region,
		BaseEndpoint: aws.String(c.srv.URL),
		HTTPClient:   fleet.SafeBodies(c.srv.Client()),
		Retryer:      aws.NopRetryer{},
		Credentials:  credentials.NewStaticCredentialsProvider(simclient.AccessKey(account), "secret", ""),
	})
}

func (c *cloud) advance(t *testing.T, by time.Duration) {
	t.Helper()
	_, err := c.ctl.Advance(t.Context(), by)
	require.NoError(t, err)
}

// order is a spot request for one m5.large in a zone.
func order(token, zone string) *ec2.RunInstancesInput {
	return &ec2.RunInstancesInput{
		ImageId:      aws.String(simclient.PublicImage(east, "x86_64")),
		InstanceType: types.InstanceTypeM5Large,
		MinCount:     aws.Int32(1),
		MaxCount:     aws.Int32(1),
		ClientToken:  aws.String(token),
		Placement:    &types.Placement{AvailabilityZone: aws.String(zone)},
		InstanceMarketOptions: &types.InstanceMarketOptionsRequest{
			MarketType: types.MarketTypeSpot,
			SpotOptions: &types.SpotMarketOptions{
				SpotInstanceType:             types.SpotInstanceTypeOneTime,
				InstanceInterruptionBehavior: types.InstanceInterruptionBehaviorTerminate,
			},
		},
		TagSpecifications: []types.TagSpecification{{
			ResourceType: types.ResourceTypeInstance,
			Tags:         []types.Tag{{Key: aws.String("agent"), Value: aws.String(token)}},
		}},
	}
}

func onDemand(token, zone string) *ec2.RunInstancesInput {
	in := order(token, zone)
	in.InstanceMarketOptions = nil
	return in
}

func (c *cloud) launch(t *testing.T, in *ec2.RunInstancesInput) string {
	t.Helper()
	out, err := c.RunInstances(t.Context(), in)
	require.NoError(t, err)
	require.Len(t, out.Instances, 1)
	return aws.ToString(out.Instances[0].InstanceId)
}

func (c *cloud) describe(t *testing.T, id string) types.Instance {
	t.Helper()
	out, err := c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	require.NoError(t, err)
	require.Len(t, out.Reservations, 1)
	require.Len(t, out.Reservations[0].Instances, 1)
	return out.Reservations[0].Instances[0]
}

func (c *cloud) state(t *testing.T, id string) types.InstanceStateName {
	t.Helper()
	return c.describe(t, id).State.Name
}

// refused checks the code and the HTTP status as the SDK decodes them.
func refused(t *testing.T, err error, code string, status int) {
	t.Helper()
	var api smithy.APIError
	require.ErrorAs(t, err, &api)
	require.Equal(t, code, api.ErrorCode())
	var res *awshttp.ResponseError
	require.ErrorAs(t, err, &res)
	require.Equal(t, status, res.HTTPStatusCode())
	require.NotEmpty(t, res.ServiceRequestID())
}

// body reads an answer to its end.
func body(t *testing.T, res *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return string(text)
}
