package client

import (
	"fmt"

	"spotkeeper/internal/ec2sim/derive"
)

// PublicImage is the id of the public Linux image of a region; arch is x86_64 or arm64.
func PublicImage(region, arch string) string {
	return fmt.Sprintf("ami-0%016x", derive.MixWords(derive.HashText(region+"/"+arch), 7))
}

// DefaultAccount is the account of callers whose access key names none.
const DefaultAccount = "000000000000"

// AccessKey returns an access key id that stands for an account: a client that
// signs with it, and with any secret, sees that account's instances. The
// account is in the key itself, so that keys outlive the simulator.
func AccessKey(account string) string { return "AKIA" + account + "SIMU" }
