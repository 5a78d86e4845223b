package ec2sim_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/pricing"
	pricingtypes "github.com/aws/aws-sdk-go-v2/service/pricing/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/fleet"
)

const role = "arn:aws:iam::" + other + ":role/spotkeeper"

func (c *cloud) sts(creds aws.CredentialsProvider) *sts.Client {
	return sts.New(sts.Options{
		Region:       east,
		BaseEndpoint: aws.String(c.srv.URL),
		HTTPClient:   fleet.SafeBodies(c.srv.Client()),
		Retryer:      aws.NopRetryer{},
		Credentials:  creds,
	})
}

func TestRolesLeadIntoAnotherAccount(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{Now: time.Now})
	own := credentials.NewStaticCredentialsProvider(simclient.AccessKey(account), "secret", "")
	assume := func(id string) aws.CredentialsProvider {
		return stscreds.NewAssumeRoleProvider(c.sts(own), role, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName, o.ExternalID = "test", aws.String(id)
		})
	}
	_, err := assume("right").Retrieve(t.Context())
	refused(t, err, "AccessDenied", http.StatusForbidden) // the role is not registered
	require.NoError(t, c.ctl.AddRole(t.Context(), simclient.Role{ARN: role, ExternalID: "right"}))
	_, err = assume("wrong").Retrieve(t.Context())
	refused(t, err, "AccessDenied", http.StatusForbidden)
	_, err = c.sts(own).AssumeRole(t.Context(), &sts.AssumeRoleInput{
		RoleArn:         aws.String(role),
		RoleSessionName: aws.String("none"),
	})
	refused(t, err, "AccessDenied", http.StatusForbidden)

	creds := aws.NewCredentialsCache(assume("right"))
	got, err := creds.Retrieve(t.Context())
	require.NoError(t, err)
	require.True(t, got.Expires.After(time.Now()))
	me, err := c.sts(creds).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	require.NoError(t, err)
	require.Equal(t, other, *me.Account)

	tenant := ec2.New(ec2.Options{
		Region:       east,
		BaseEndpoint: aws.String(c.srv.URL),
		HTTPClient:   fleet.SafeBodies(c.srv.Client()),
		Retryer:      aws.NopRetryer{},
		Credentials:  creds,
	})
	out, err := tenant.RunInstances(t.Context(), order("t", zoneA))
	require.NoError(t, err)
	require.Equal(t, other, *out.OwnerId)
	require.Empty(t, c.found(t, c.Client))
	require.Equal(t, []string{*out.Instances[0].InstanceId}, c.found(t, c.as(other, east)))
	live, err := c.ctl.Live(t.Context(), other)
	require.NoError(t, err)
	require.Len(t, live, 1)
}

func TestPriceList(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	api := pricing.New(pricing.Options{
		Region:       east,
		BaseEndpoint: aws.String(c.srv.URL),
		HTTPClient:   fleet.SafeBodies(c.srv.Client()),
		Retryer:      aws.NopRetryer{},
		Credentials:  credentials.NewStaticCredentialsProvider(simclient.AccessKey(account), "secret", ""),
	})
	is := func(field, value string) pricingtypes.Filter {
		return pricingtypes.Filter{
			Type:  pricingtypes.FilterTypeTermMatch,
			Field: aws.String(field),
			Value: aws.String(value),
		}
	}
	out, err := api.GetProducts(t.Context(), &pricing.GetProductsInput{
		ServiceCode: aws.String("AmazonEC2"),
		Filters: []pricingtypes.Filter{
			is("instanceType", "m5.large"), is("regionCode", "eu-west-1"), is("operatingSystem", "Linux"),
			is("tenancy", "Shared"), is("preInstalledSw", "NA"), is("capacitystatus", "Used"),
		},
	})
	require.NoError(t, err)
	require.Len(t, out.PriceList, 1)
	var doc struct {
		Product struct {
			Attributes struct{ InstanceType, Location string }
		}
		Terms struct {
			OnDemand map[string]struct {
				PriceDimensions map[string]struct{ PricePerUnit struct{ USD string } }
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out.PriceList[0]), &doc))
	require.Equal(t, "EU (Ireland)", doc.Product.Attributes.Location)
	for _, term := range doc.Terms.OnDemand {
		for _, dimension := range term.PriceDimensions {
			require.Equal(t, "0.1070400000", dimension.PricePerUnit.USD)
		}
	}
	n := 0
	for pages := pricing.NewGetProductsPaginator(api, &pricing.GetProductsInput{
		ServiceCode: aws.String("AmazonEC2"),
		Filters:     []pricingtypes.Filter{is("location", "US East (N. Virginia)"), is("operatingSystem", "Linux")},
		MaxResults:  aws.Int32(10),
	}); pages.HasMorePages(); {
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		n += len(page.PriceList)
	}
	require.Equal(t, 57, n)
	_, err = api.GetProducts(t.Context(), &pricing.GetProductsInput{ServiceCode: aws.String("AmazonS3")})
	refused(t, err, "InvalidParameterException", http.StatusBadRequest)
}
