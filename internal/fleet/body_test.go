package fleet_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/fleet"
)

// fast answers before it has asked a body for its end, as net/http does when
// the server is quicker than the goroutine that writes.
type fast struct{ body io.ReadCloser }

func (f *fast) Do(req *http.Request) (*http.Response, error) {
	if _, err := io.CopyN(io.Discard, req.Body, req.ContentLength); err != nil {
		return nil, err
	}
	f.body = req.Body
	return &http.Response{
		StatusCode: http.StatusOK,
		Body:       io.NopCloser(strings.NewReader("<DescribeInstancesResponse/>")),
	}, nil
}

func TestTheEndOfABodyIsNoFailedWrite(t *testing.T) {
	t.Parallel()
	var client fast
	api := ec2.New(ec2.Options{
		Region:      "us-east-1",
		Credentials: fleet.StaticCredentials("test", "test"),
		Retryer:     aws.NopRetryer{},
		HTTPClient:  fleet.SafeBodies(&client),
	})
	_, err := api.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{})
	require.NoError(t, err)
	more, err := io.Copy(io.Discard, client.body) // what net/http does to learn that no more comes
	require.NoError(t, err)
	require.Zero(t, more)
}
