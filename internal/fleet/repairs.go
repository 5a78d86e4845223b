package fleet

import (
	"slices"
	"strings"

	"github.com/aws/smithy-go"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
)

// repair says what is wrong and how to mend it, for an API error code or for all codes
// with its beginning.
type repair struct{ code, words string }

// repairs are looked up in their order. The codes are those of
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html.
var repairs = []repair{
	{"AuthFailure.ServiceLinkedRoleCreationNotPermitted", "the account lacks the service-linked role of EC2 Spot: " +
		"create it once with `aws iam create-service-linked-role --aws-service-name spot.amazonaws.com`"},
	{"UnauthorizedOperation",
		"a policy of the account or of its organization forbids it: the role that Spotkeeper uses needs the permission, " +
			"for a launch ec2:RunInstances, and iam:PassRole for the instance's role; no policy may exclude the instance type or the zone"},
	{"AccessDenied",
		"a policy of the account or of its organization forbids it: give the role that Spotkeeper uses the permission"},
	{"OptInRequired",
		"the account has not agreed to the terms of the image or of the region: subscribe to the image in AWS Marketplace or enable the region"},
	{"RegionDisabledException", "the account has not enabled the region, or its STS: enable both in the account's settings"},
	{"AccountDisabled", "AWS has disabled this for the account: ask AWS Support"},
	{"InvalidZone", "the account may not use the zone: enable its zone group, or leave the zone out"},
	{"InvalidAvailabilityZone", "the account may not use the zone: enable its zone group, or leave the zone out"},
	{"PendingVerification", "AWS is still verifying the account: wait for its e-mail, or ask AWS Support"},
	{"Blocked", "AWS has blocked the account: ask AWS Support"},
	{"AuthFailure", "the credentials are not accepted: check the role's trust policy and its external id, " +
		"and that the account has enabled the region"},
	{"InvalidKeyPair",
		"the key pair does not exist any more: create it again under its name, or register the agent from an instance without one"},
	{"InvalidAMIID", "the image does not exist any more, or is not shared with the account: restore or copy it, " +
		"or move the agent to an instance from an image that exists"},
	{"InvalidSubnet", "the subnet does not exist any more: create a subnet in the zone"},
	{"InvalidGroup",
		"a security group does not exist any more: create it, or move the agent to an instance without it"},
	{"InvalidSecurityGroup",
		"a security group does not exist any more: create it, or move the agent to an instance without it"},
	{"InvalidIamInstanceProfile", "the instance profile does not exist any more: create it again under its name"},
	{"InvalidSnapshot", "the snapshot behind a volume does not exist any more: make a new image"},
	{"InvalidLaunchTemplate", "the launch template or its version does not exist any more"},
	{"InvalidKMSKey",
		"the KMS key of a volume is disabled or deleted, or its policy does not admit the role: enable it, or add the role to its policy"},
	{"CustomerKeyHasBeenRevoked",
		"the KMS key of a volume is disabled or deleted, or its policy does not admit the role: enable it, or add the role to its policy"},
	{"KMS", "the KMS key of a volume cannot be used: check its state and its policy"},
	{"InvalidParameterCombination", "EC2 does not offer this combination of instance type, image and options"},
	{"DefaultVpcDoesNotExist", "the account has no default network: register the agent from an instance in a subnet"},
	{"VPCIdNotSpecified", "the account has no default network: register the agent from an instance in a subnet"},
	{"TagPolicyViolation",
		"a tag policy of the organization forbids a tag of the instance: correct the instance's tags"},
	{"TagLimitExceeded", "the instance has too many tags: remove some"},
	{"InvalidTagKey", "EC2 does not accept a tag of the instance: correct the instance's tags"},
	{"BootForVolumeTypeUnsupported", "no instance starts from a volume of this type: make an image with another one"},
	{"AttachmentLimitExceeded",
		"the instance type takes fewer volumes or interfaces than the original has: require larger types"},
	{"PrivateIpAddressLimitExceeded",
		"the instance type takes fewer addresses than the original has: require larger types"},
	{"InvalidInterface.IpAddressLimitExceeded",
		"the instance type takes fewer addresses than the original has: require larger types"},
	{"SecurityGroup", "the interface has more security groups than the account may use: remove some, " +
		"or ask for more in Service Quotas"},
	{"NetworkInterfaceLimitExceeded", "ask for more in Service Quotas: VPC, the network interfaces of the region"},
	{"EncryptedVolumesNotSupported", "the instance type cannot use encrypted volumes"},
	{"MaxSpotInstanceCountExceeded", "ask for more in Service Quotas: EC2, the Spot Instance Requests of the family"},
	{"VcpuLimitExceeded", "ask for more in Service Quotas: EC2, the Running On-Demand instances of the family"},
	{"InstanceLimitExceeded", "ask for more in Service Quotas: EC2"},
	{"VolumeLimitExceeded", "ask for more in Service Quotas: EBS, the storage of the volume type"},
	{"MaxIOPSLimitExceeded", "ask for more in Service Quotas: EBS, the IOPS of the volume type"},
	{"InsufficientFreeAddressesInSubnet", "add a subnet in the zone, or free addresses"},
}

// repairFor returns the words for a code, "" when there are none.
func repairFor(code string) string {
	code = strings.TrimPrefix(code, "Client.")
	at := slices.IndexFunc(repairs, func(r repair) bool { return strings.HasPrefix(code, r.code) })
	if at < 0 {
		return ""
	}
	return repairs[at].words
}

// longestQuote is how much of EC2's own sentence is quoted.
const longestQuote = 160

// explain says why EC2 refused, and what to do. Of a refusal whose code says little,
// EC2's own sentence is quoted, unless it carries an encoded message: that one is long,
// and no user can read it.
func explain(class fault.Code, api smithy.APIError) string {
	words := sentences[class] + " (" + api.ErrorCode() + ")"
	if mend := repairFor(api.ErrorCode()); mend != "" {
		return words + ": " + mend
	}
	text := strings.TrimSpace(api.ErrorMessage())
	if text == "" || strings.Contains(strings.ToLower(text), "encoded") ||
		!class.Kind().Retryable() && class.Kind() != fault.Invalid && class != replica.Unexplained {
		return words
	}
	if len(text) > longestQuote {
		text = strings.ToValidUTF8(text[:longestQuote], "") + "…"
	}
	return words + ": " + text
}
