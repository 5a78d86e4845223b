package ec2sim_test

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
)

// boto3Script calls the simulator through the unmodified Python SDK: a launch and its token,
// waiters, pagination, errors and spot requests. argv: endpoint, access key, image.
const boto3Script = `
import sys, boto3
from botocore.config import Config
from botocore.exceptions import ClientError

endpoint, key, image = sys.argv[1:]
ec2 = boto3.client("ec2", region_name="us-east-1", endpoint_url=endpoint, aws_access_key_id=key,
    aws_secret_access_key="simulated", config=Config(retries={"max_attempts": 1}))
sts = boto3.client("sts", region_name="us-east-1", endpoint_url=endpoint, aws_access_key_id=key,
    aws_secret_access_key="simulated")
assert sts.get_caller_identity()["Account"] == "111111111111"

def launch(token, zone="us-east-1a", **more):
    return ec2.run_instances(ImageId=image, InstanceType="m5.large", MinCount=1, MaxCount=1, ClientToken=token,
        Placement={"AvailabilityZone": zone}, InstanceMarketOptions={"MarketType": "spot"}, **more)["Instances"][0]

def refusal(call, **how):
    try:
        call(**how)
    except ClientError as e:
        return e.response["Error"]["Code"]
    raise AssertionError("not refused")

made = launch("one", TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "b"}]}])
id = made["InstanceId"]
assert made["State"]["Name"] == "pending"
ec2.get_waiter("instance_running").wait(InstanceIds=[id])
seen = ec2.describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"][0]
assert seen["Tags"] == [{"Key": "a", "Value": "b"}], seen["Tags"]
assert seen["InstanceLifecycle"] == "spot" and seen["Placement"]["AvailabilityZone"] == "us-east-1a"
asked = ec2.describe_spot_instance_requests(SpotInstanceRequestIds=[seen["SpotInstanceRequestId"]])
assert asked["SpotInstanceRequests"][0]["InstanceId"] == id
pages = ec2.get_paginator("describe_spot_price_history").paginate(InstanceTypes=["m5.large"],
    ProductDescriptions=["Linux/UNIX"], PaginationConfig={"PageSize": 20, "MaxItems": 50})
assert sum(len(p["SpotPriceHistory"]) for p in pages) == 50
assert refusal(ec2.run_instances, ImageId="ami-00000000", InstanceType="m5.large", MinCount=1, MaxCount=1) \
    == "InvalidAMIID.NotFound"
assert refusal(ec2.describe_instances, InstanceIds=["i-00000000"]) == "InvalidInstanceID.NotFound"
assert refusal(launch, token="two", zone="us-east-1b") == "UnauthorizedOperation"
ec2.terminate_instances(InstanceIds=[id])
ec2.get_waiter("instance_terminated").wait(InstanceIds=[id])
assert refusal(launch, token="one",
    TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "b"}]}]) == "IdempotentInstanceTerminated"
print("done")
`

// TestThePythonSDK: the simulator is the protocol, not what one SDK makes of it.
func TestThePythonSDK(t *testing.T) {
	t.Parallel()

	c := newCloud(t, ec2sim.Options{})
	require.NoError(t, c.ctl.DenyByPolicy(t.Context(), simclient.Policy{Account: account, Zone: zoneB}))
	out, err := exec.CommandContext(t.Context(), "python3", "-c", boto3Script, c.srv.URL, simclient.AccessKey(account),
		simclient.PublicImage(east, "x86_64")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "done")
}
