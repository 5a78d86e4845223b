resource "aws_iam_role" "delivery" {
  name = "spotkeeper-deliver-events-${data.aws_region.current.region}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id } }
    }]
  })
}

resource "aws_iam_role_policy" "send" {
  name = "send"
  role = aws_iam_role.delivery.name
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sqs:SendMessage", Resource = var.queue_arn }]
  })
}

resource "aws_cloudwatch_event_rule" "events" {
  name        = "spotkeeper-events"
  description = "What AWS announces about instances, to Spotkeeper"
  state       = "ENABLED"
  event_pattern = jsonencode({
    source = ["aws.ec2", "aws.health", "aws.autoscaling"]
    detail-type = [
      "EC2 Spot Instance Interruption Warning",
      "EC2 Capacity Reservation Instance Interruption Warning",
      "EC2 Instance Rebalance Recommendation",
      "EC2 Instance State-change Notification",
      "AWS Health Event",
      "EC2 Instance-terminate Lifecycle Action",
    ]
  })
}

resource "aws_cloudwatch_event_target" "queue" {
  rule      = aws_cloudwatch_event_rule.events.name
  target_id = "spotkeeper"
  arn       = var.queue_arn
  role_arn  = aws_iam_role.delivery.arn
}
