package imds

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// RoleCredentials are temporary credentials of the instance's role.
type RoleCredentials struct {
	AccessKeyID string    `json:"AccessKeyId"`
	Secret      string    `json:"SecretAccessKey"`
	Token       string    `json:"Token"`
	Expiration  time.Time `json:"Expiration"`
	Now         time.Time `json:"-"` // by the service's clock, where it names it, else the local one
}

// ErrNoRole means that the instance has no instance profile.
var ErrNoRole = errors.New("the instance has no role: give it an instance profile, " +
	"aws ec2 associate-iam-instance-profile")

// RoleCredentials reads the credentials of the instance's role,
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html.
// Fails with ErrNoRole when there is none.
func (c *Client) RoleCredentials(ctx context.Context) (RoleCredentials, error) {
	const path = "meta-data/iam/security-credentials/"
	name, err := c.Text(ctx, path)
	if errors.Is(err, ErrAbsent) || err == nil && name == "" {
		return RoleCredentials{}, ErrNoRole
	}
	if err != nil {
		return RoleCredentials{}, fmt.Errorf("read %s: %w", path, err)
	}
	name, _, _ = strings.Cut(name, "\n")
	answer, err := c.Get(ctx, path+name)
	if err != nil {
		return RoleCredentials{}, fmt.Errorf("read the credentials of the role %s: %w", name, err)
	}
	var out RoleCredentials
	if err := json.Unmarshal([]byte(answer.Text), &out); err != nil || out.AccessKeyID == "" || out.Secret == "" {
		return RoleCredentials{}, fmt.Errorf("the credentials of the role %s cannot be read", name)
	}
	if out.Now = answer.Date; out.Now.IsZero() {
		out.Now = answer.At
	}
	return out, nil
}

// Domain is that of AWS's services in the instance's partition, such as amazonaws.com.
func (c *Client) Domain(ctx context.Context) string {
	if domain, err := c.Text(ctx, "meta-data/services/domain"); err == nil && domain != "" {
		return domain
	}
	return "amazonaws.com"
}

// IdentityDocument reads the instance's identity document within its RSA-2048 signature.
func (c *Client) IdentityDocument(ctx context.Context) (string, error) {
	const path = "dynamic/instance-identity/rsa2048"
	text, err := c.Text(ctx, path)
	if err == nil && text == "" {
		err = errors.New("the answer was empty")
	}
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return text, nil
}
