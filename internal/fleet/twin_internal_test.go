package fleet

import (
	"flag"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/replica"
)

var update = flag.Bool("update", false, "rewrite docs/twin.md")

// walked are the structs in which EC2 describes an instance.
var walked = []reflect.Type{
	reflect.TypeFor[types.Instance](), reflect.TypeFor[types.Placement](),
	reflect.TypeFor[types.InstanceMetadataOptionsResponse](),
	reflect.TypeFor[types.EnclaveOptions](), reflect.TypeFor[types.HibernationOptions](),
	reflect.TypeFor[types.InstanceMaintenanceOptions](),
	reflect.TypeFor[types.PrivateDnsNameOptionsResponse](), reflect.TypeFor[types.CpuOptions](),
	reflect.TypeFor[types.CapacityReservationSpecificationResponse](),
	reflect.TypeFor[types.InstanceNetworkPerformanceOptions](),
	reflect.TypeFor[types.InstanceCreditSpecification](), reflect.TypeFor[ec2.DescribeInstanceAttributeOutput](),
	reflect.TypeFor[types.EbsInstanceBlockDevice](), reflect.TypeFor[types.Volume](),
	reflect.TypeFor[types.InstanceNetworkInterface](), reflect.TypeFor[types.InstanceNetworkInterfaceAttachment](),
}

// TestEveryFieldHasAFate fails when the SDK's structs gain a field, until the table says
// what becomes of it.
func TestEveryFieldHasAFate(t *testing.T) {
	t.Parallel()

	fates := map[string]TwinField{}
	for _, f := range TwinFields {
		require.NotContains(t, fates, f.Struct+"."+f.Field, "twice")
		require.Contains(t, []FieldFate{Copied, Derived, Excused}, f.Fate, "%+v", f)
		require.NotEmpty(t, f.To+f.Why, "%+v", f)
		fates[f.Struct+"."+f.Field] = f
	}
	for _, s := range walked {
		for f := range s.Fields() {
			if f.IsExported() {
				require.Contains(t, fates, s.Name()+"."+f.Name, "say in twin.go what becomes of it")
				delete(fates, s.Name()+"."+f.Name)
			}
		}
	}
	require.Empty(t, fates, "the SDK has no such fields")
}

// TestWhatIsCopiedArrives: an original with everything there is, launched on-demand as the
// same type, has every copied field in the request to EC2.
func TestWhatIsCopiedArrives(t *testing.T) {
	t.Parallel()

	in := copyOf(t, everything(), agent.OnDemand)
	for _, f := range TwinFields {
		if f.Fate == Copied {
			require.True(t, arrives(reflect.ValueOf(in), strings.Split(f.To, ".")), "%s.%s is not at %s", f.Struct,
				f.Field, f.To)
		}
	}
}

// TestASpotTwinSaysWhatItLacks of an original that was bought on-demand.
func TestASpotTwinSaysWhatItLacks(t *testing.T) {
	t.Parallel()

	_, without := describe(everything()).adapt("t3.large",
		replica.Candidate{InstanceType: "m5.large", Mode: agent.Spot})
	text := strings.Join(without, "\n")
	for _, words := range []string{"hibernate", "protected against a stop", "CPU credits", "CPU options"} {
		require.Contains(t, text, words)
	}
}

// TestWhatCannotBeCopiedIsSaid, before the original is lost.
func TestWhatCannotBeCopiedIsSaid(t *testing.T) {
	t.Parallel()

	text := strings.Join(describe(everything()).NotCopied, "\n")
	for _, words := range []string{"termination", "/dev/sdf", "eni-1"} {
		require.Contains(t, text, words)
	}
}

func copyOf(t *testing.T, s sources, mode agent.Mode) *ec2.RunInstancesInput {
	t.Helper()
	from := instanceFrom("us-east-1", s.instance)
	template := Template{
		InstanceType:       from.InstanceType,
		ImageID:            from.ImageID,
		KeyName:            from.KeyName,
		InstanceProfileARN: from.InstanceProfileARN,
		SecurityGroupIDs:   from.SecurityGroupIDs,
		UserData:           "aGk=",
		EBSOptimized:       true,
		MetadataHops:       2,
		VPCID:              "vpc-1",
		Subnets:            map[string]SubnetList{"us-east-1a": {"subnet-1"}},
		Tags:               inheritedTags(from.Tags),
		Description:        describe(s),
	}
	request, err := NewLaunchRequest(template, replica.Candidate{
		InstanceType: from.InstanceType,
		AZ:           "us-east-1a",
		Mode:         mode,
	}, Owner{})
	require.NoError(t, err)
	in := request.input()
	if len(in.NetworkInterfaces) > 0 { // then these two stand there
		in.SubnetId, in.SecurityGroupIds = in.NetworkInterfaces[0].SubnetId, in.NetworkInterfaces[0].Groups
	}
	return in
}

// everything is an instance with every field that can be copied.
func everything() sources {
	var i types.Instance
	fillIn(reflect.ValueOf(&i).Elem())
	i.InstanceType, i.SourceDestCheck, i.RootDeviceName = "t3.large", aws.Bool(false), aws.String("/dev/sda1")
	i.Placement.Tenancy, i.Placement.HostId, i.Placement.HostResourceGroupArn = types.TenancyDedicated, nil, nil
	i.Monitoring.State = types.MonitoringStateEnabled
	i.MetadataOptions.HttpEndpoint = types.InstanceMetadataEndpointStateDisabled
	i.MetadataOptions.HttpProtocolIpv6 = types.InstanceMetadataProtocolStateEnabled
	i.MetadataOptions.InstanceMetadataTags = types.InstanceMetadataTagsStateEnabled
	i.CapacityReservationSpecification.CapacityReservationTarget = nil
	i.Tags = []types.Tag{{Key: aws.String("Name"), Value: aws.String("web")}}
	root, data := i.BlockDeviceMappings[0], types.InstanceBlockDeviceMapping{
		DeviceName: aws.String("/dev/sdf"),
		Ebs:        &types.EbsInstanceBlockDevice{VolumeId: aws.String("vol-2")},
	}
	root.DeviceName, root.Ebs.VolumeId = i.RootDeviceName, aws.String("vol-1")
	i.BlockDeviceMappings = []types.InstanceBlockDeviceMapping{data, root}
	nic := &i.NetworkInterfaces[0]
	nic.NetworkInterfaceId, nic.Association.IpOwnerId, nic.Attachment.DeleteOnTermination = aws.String(
		"eni-1"), aws.String("amazon"), aws.Bool(false)
	nic.PrivateIpAddresses = make([]types.InstancePrivateIpAddress, 2)
	return sources{
		instance: i, credits: "unlimited",
		attributes: ec2.DescribeInstanceAttributeOutput{
			DisableApiStop:                    &types.AttributeBooleanValue{Value: aws.Bool(true)},
			DisableApiTermination:             &types.AttributeBooleanValue{Value: aws.Bool(true)},
			InstanceInitiatedShutdownBehavior: &types.AttributeValue{Value: aws.String("terminate")},
		},
		volumes: map[string]types.Volume{
			"vol-1": {
				VolumeId:   aws.String("vol-1"),
				Size:       aws.Int32(200),
				VolumeType: types.VolumeTypeIo2,
				Iops:       aws.Int32(5000),
				Encrypted:  aws.Bool(true),
				KmsKeyId:   aws.String("key"),
			},
			"vol-2": {
				VolumeId:   aws.String("vol-2"),
				Size:       aws.Int32(10),
				VolumeType: types.VolumeTypeGp3,
				Throughput: aws.Int32(250),
				SnapshotId: aws.String("snap-1"),
			},
		},
	}
}

// fillIn sets every field of a struct to something that is not zero.
func fillIn(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillIn(v.Elem())
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fillIn(v.Field(i))
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fillIn(v.Index(0))
	case reflect.String:
		v.SetString("some")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int32, reflect.Int64:
		v.SetInt(1)
	default:
	}
}

// arrives says whether there is something at the path.
func arrives(v reflect.Value, path []string) bool {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return false
		}
		v = v.Elem()
	}
	switch {
	case len(path) == 0:
		return v.Kind() == reflect.Bool || v.Kind() == reflect.Int32 ||
			!v.IsZero() && (v.Kind() != reflect.Slice || v.Len() > 0)
	case v.Kind() == reflect.Slice:
		n, err := strconv.Atoi(path[0])
		return err == nil && n < v.Len() && arrives(v.Index(n), path[1:])
	default:
		f := v.FieldByName(path[0])
		return f.IsValid() && arrives(f, path[1:])
	}
}

// TestTwinDocumentIsCurrent keeps docs/twin.md the table.
func TestTwinDocumentIsCurrent(t *testing.T) {
	t.Parallel()

	const path = "../../docs/twin.md"
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(TwinDocument()), 0o600))
	}
	have, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, TwinDocument(), string(have), "make generate")
}
