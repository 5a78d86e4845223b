package intake_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/intake"
	"spotkeeper/internal/testkit/moto"
)

// region is the one that moto reads from the signature's scope.
const region = "us-east-1"

// amazon is moto, spoken to without any client of ours.
type amazon struct {
	t        *testing.T
	endpoint string
}

func (a amazon) send(service, target string, body io.Reader, contentType string) string {
	a.t.Helper()
	request, err := http.NewRequestWithContext(a.t.Context(), http.MethodPost, a.endpoint+"/", body)
	require.NoError(a.t, err)
	request.Header.Set("Content-Type", contentType)
	if target != "" {
		request.Header.Set("X-Amz-Target", target)
	}
	request.Header.Set("Authorization",
		"AWS4-HMAC-SHA256 Credential=test/20261128/"+region+"/"+service+
			"/aws4_request, SignedHeaders=host, Signature=0")
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	require.NoError(a.t, err)
	defer func() { _ = answer.Body.Close() }()
	content, err := io.ReadAll(answer.Body)
	require.NoError(a.t, err)
	require.Equal(a.t, http.StatusOK, answer.StatusCode, "%s", content)
	return string(content)
}

// stack creates a CloudFormation stack of a template of this repository.
func (a amazon) stack(name, file string, parameters map[string]string) {
	a.t.Helper()
	template, err := os.ReadFile("../../deploy/cloudformation/" + file)
	require.NoError(a.t, err)
	form := url.Values{
		"Action":                {"CreateStack"},
		"Version":               {"2010-05-15"},
		"StackName":             {name},
		"TemplateBody":          {string(template)},
		"Capabilities.member.1": {"CAPABILITY_NAMED_IAM"},
	}
	n := 0
	for key, value := range parameters {
		n++
		form.Set(fmt.Sprintf("Parameters.member.%d.ParameterKey", n), key)
		form.Set(fmt.Sprintf("Parameters.member.%d.ParameterValue", n), value)
	}
	a.send("cloudformation", "", strings.NewReader(form.Encode()), "application/x-www-form-urlencoded")
}

// output reads one of a stack's outputs.
func (a amazon) output(stack, key string) string {
	a.t.Helper()
	form := url.Values{"Action": {"DescribeStacks"}, "Version": {"2010-05-15"}, "StackName": {stack}}
	said := a.send("cloudformation", "", strings.NewReader(form.Encode()), "application/x-www-form-urlencoded")
	_, rest, found := strings.Cut(said, "<OutputKey>"+key+"</OutputKey>")
	require.True(a.t, found, said)
	_, rest, _ = strings.Cut(rest, "<OutputValue>")
	value, _, _ := strings.Cut(rest, "</OutputValue>")
	return value
}

func (a amazon) put(detailType, detail string) {
	a.t.Helper()
	entry, err := json.Marshal(map[string]any{"Entries": []any{map[string]any{
		"Source":     "aws.ec2",
		"DetailType": detailType,
		"Detail":     detail,
	}}})
	require.NoError(a.t, err)
	a.send("events", "AWSEvents.PutEvents", strings.NewReader(string(entry)), "application/x-amz-json-1.1")
}

// withAccount adds the account to each event: moto's EventBridge leaves it out of what it
// delivers to a queue.
type withAccount struct{ *intake.SQS }

func (q withAccount) Receive(ctx context.Context) ([]intake.Message, error) {
	got, err := q.SQS.Receive(ctx)
	for n := range got {
		got[n].Body = strings.Replace(got[n].Body, `"version"`, `"account": "123456789012", "version"`, 1)
	}
	return got, err
}

// TestEventBridgeOfMoto: the templates make a queue, a rule and their policies at moto; its
// EventBridge matches and delivers, its SQS is received from with the real client.
func TestEventBridgeOfMoto(t *testing.T) {
	t.Parallel()
	a := amazon{t, moto.Start(t)}
	a.stack("control", "control-events.yaml", nil)
	queue, arn := a.output("control", "QueueURL"), a.output("control", "QueueArn")
	require.Equal(t, "arn:aws:sqs:us-east-1:123456789012:spotkeeper-events", arn)

	w := newWorld(t)
	w.store.OwnAccount = func(context.Context) (string, error) { return "123456789012", nil } // moto's
	config := aws.Config{Region: region, Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
		HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	i := w.intake(withAccount{intake.NewSQS(config, a.endpoint, queue)})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- i.Run(ctx) }()

	a.put("EC2 Fleet Error", `{}`) // the rule lets none of these through
	a.put("EC2 Spot Instance Interruption Warning", `{"instance-id":"i-9","instance-action":"terminate"}`)
	a.put("EC2 Spot Instance Interruption Warning", `{"instance-id":"i-0","instance-action":"terminate"}`)
	require.Eventually(t, func() bool { return len(w.counted()) == 2 }, time.Minute, 10*time.Millisecond)
	require.Equal(t, map[string]int{"spot-interruption unknown": 1, "spot-interruption taken": 1}, w.counted())
	require.Equal(t, "promoted eventbridge", w.read(`SELECT result || ' ' || door FROM notices`))
	require.NoError(t, i.Check(ctx))
	cancel()
	require.NoError(t, <-ended)
}

// TestTenantTemplate: a tenant's stack sends to the control account's queue.
func TestTenantTemplate(t *testing.T) {
	t.Parallel()
	a := amazon{t, moto.Start(t)}
	a.stack("tenant", "tenant-events.yaml",
		map[string]string{"QueueArn": "arn:aws:sqs:us-east-1:123456789012:spotkeeper-events"})
	require.Equal(t, "arn:aws:iam::123456789012:role/spotkeeper-deliver-events-us-east-1",
		a.output("tenant", "DeliveryRole"))
	targets := a.send("events", "AWSEvents.ListTargetsByRule", strings.NewReader(`{"Rule":"spotkeeper-events"}`),
		"application/x-amz-json-1.1")
	require.Contains(t, targets, "arn:aws:sqs:us-east-1:123456789012:spotkeeper-events")
	require.Contains(t, targets, "role/spotkeeper-deliver-events-us-east-1")
}
