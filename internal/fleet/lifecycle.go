package fleet

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/smithy-go"
)

// LifecycleAction is what an Auto Scaling group waits for before it ends an instance.
type LifecycleAction struct{ Group, Hook, Token, InstanceID string }

// Results of a lifecycle action:
// https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_CompleteLifecycleAction.html
const (
	lifecycleContinue = "CONTINUE"
	lifecycleAbandon  = "ABANDON"
)

// CompleteLifecycle has a group go on with the end of an instance, or give it up. waiting is
// false when the group no longer waited.
func (p *Provider) CompleteLifecycle(
	ctx context.Context,
	a Account,
	region string,
	action LifecycleAction,
	abandon bool,
) (waiting bool, err error) {
	api, err := p.autoScaling(a, region)
	if err != nil {
		return false, err
	}
	result := lifecycleContinue
	if abandon {
		result = lifecycleAbandon
	}
	ctx, cancel := p.read(ctx)
	defer cancel()
	_, err = api.CompleteLifecycleAction(ctx, &autoscaling.CompleteLifecycleActionInput{
		AutoScalingGroupName:  aws.String(action.Group),
		LifecycleHookName:     aws.String(action.Hook),
		LifecycleActionToken:  aws.String(action.Token),
		InstanceId:            aws.String(action.InstanceID),
		LifecycleActionResult: aws.String(result),
	})
	return stillWaits(ctx, err, "completing a lifecycle action")
}

// KeepLifecycle has the time that a group waits begin anew. waiting is false when the group
// no longer waits.
func (p *Provider) KeepLifecycle(
	ctx context.Context,
	a Account,
	region string,
	action LifecycleAction,
) (waiting bool, err error) {
	api, err := p.autoScaling(a, region)
	if err != nil {
		return false, err
	}
	ctx, cancel := p.read(ctx)
	defer cancel()
	_, err = api.RecordLifecycleActionHeartbeat(ctx, &autoscaling.RecordLifecycleActionHeartbeatInput{
		AutoScalingGroupName: aws.String(action.Group),
		LifecycleHookName:    aws.String(action.Hook),
		LifecycleActionToken: aws.String(action.Token),
		InstanceId:           aws.String(action.InstanceID),
	})
	return stillWaits(ctx, err, "recording that a lifecycle action goes on")
}

// stillWaits reads what Auto Scaling answers about an action that has ended: a
// ValidationError, "No active Lifecycle Action found".
func stillWaits(ctx context.Context, err error, what string) (bool, error) {
	if refused, ok := errors.AsType[smithy.APIError](err); ok && refused.ErrorCode() == "ValidationError" {
		return false, nil
	}
	return err == nil, classify(ctx, err, what)
}

func (p *Provider) autoScaling(a Account, region string) (*autoscaling.Client, error) {
	if err := a.validate(); err != nil {
		return nil, err
	}
	if err := checkRegion(region); err != nil {
		return nil, err
	}
	held, err := p.sessionOf(a)
	if err != nil {
		return nil, err
	}
	return autoscaling.NewFromConfig(p.base, func(o *autoscaling.Options) {
		o.Region = region
		o.BaseEndpoint = nilIfEmptyURL(p.opts.AutoScalingEndpoint)
		if held != nil {
			o.Credentials, o.APIOptions = held, append(o.APIOptions, held.renew)
		}
	}), nil
}
