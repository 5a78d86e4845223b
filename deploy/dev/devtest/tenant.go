package devtest

import (
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	simclient "spotkeeper/internal/ec2sim/client"
)

// Tenant is a client with an AWS account of its own at the simulator, as a customer has.
type Tenant struct{ ID, Token, Account string }

// NewTenant creates a client with a role in an account of its own, which the simulator
// lets the control plane assume. more adds to the body of the request.
func (s *Stack) NewTenant(ctx context.Context, name string, more map[string]any) (Tenant, error) {
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(name))
	account := fmt.Sprintf("%012d", sum.Sum64()%1e12)
	role := "arn:aws:iam::" + account + ":role/spotkeeper-tenant"
	body := map[string]any{
		"name":         name,
		"role_arn":     role,
		"legacy_token": "all", // one token is all that a test has
	}
	maps.Copy(body, more)
	var made struct {
		Client struct {
			ID, Token  string
			ExternalID string `json:"external_id"`
		}
		Error string
	}
	status, err := s.Call(ctx, http.MethodPost, "/api/admin/clients/create", s.FirstOperator(), body, &made)
	if err != nil {
		return Tenant{}, err
	}
	if status != http.StatusOK {
		return Tenant{}, fmt.Errorf("create client %s: %d %s", name, status, made.Error)
	}
	client := &http.Client{Timeout: 15 * time.Second}
	defer client.CloseIdleConnections()
	err = simclient.NewClient(s.EC2, client).AddRole(ctx, simclient.Role{ARN: role, ExternalID: made.Client.ExternalID})
	return Tenant{ID: made.Client.ID, Token: made.Client.Token, Account: account}, err
}

// EC2Of is EC2 as the holder of an account at the simulator calls it. An empty account is
// the control plane's own; without a client it is the SDK's.
func (s *Stack) EC2Of(account string, client *http.Client) *ec2.Client {
	key := "simulated"
	if account != "" {
		key = simclient.AccessKey(account)
	}
	o := ec2.Options{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(s.EC2),
		Credentials:  credentials.NewStaticCredentialsProvider(key, "simulated", ""),
	}
	if client != nil {
		o.HTTPClient = client
	}
	return ec2.New(o)
}
