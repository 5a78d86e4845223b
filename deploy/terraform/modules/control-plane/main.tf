# What deploy/cloudformation/control-role.yaml and control-events.yaml make: a test compares the two.
data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  ec2       = "ec2.${data.aws_partition.current.dns_suffix}"
  instances = "arn:${local.partition}:ec2:*:${local.account}:instance/*"
  bucket    = var.artifacts_bucket != "" ? var.artifacts_bucket : "spotkeeper-artifacts-${local.account}-${data.aws_region.current.region}"
}

# An old notice is worth nothing: what was not read in five minutes goes.
resource "aws_sqs_queue" "events" {
  name                       = "spotkeeper-events"
  message_retention_seconds  = 300
  visibility_timeout_seconds = 30
  receive_wait_time_seconds  = 20
  sqs_managed_sse_enabled    = true
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = 60
  })
}

resource "aws_sqs_queue" "dead_letters" {
  name                      = "spotkeeper-events-dead"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue_policy" "events" {
  queue_url = aws_sqs_queue.events.url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid       = "OwnRule"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.events.arn
        Condition = { ArnEquals = { "aws:SourceArn" = aws_cloudwatch_event_rule.events.arn } }
      }],
      length(var.tenant_delivery_roles) == 0 ? [] : [{
        Sid       = "TenantsRules"
        Effect    = "Allow"
        Principal = { AWS = var.tenant_delivery_roles }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.events.arn
      }],
      [{
        Sid       = "OnlyTLS"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sqs:*"
        Resource  = aws_sqs_queue.events.arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      }],
    )
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
  arn       = aws_sqs_queue.events.arn
}

resource "aws_s3_bucket" "artifacts" {
  bucket = local.bucket
  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "artifacts" {
  bucket = aws_s3_bucket.artifacts.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_public_access_block" "artifacts" {
  bucket                  = aws_s3_bucket.artifacts.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "artifacts" {
  bucket = aws_s3_bucket.artifacts.id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_policy" "artifacts" {
  bucket = aws_s3_bucket.artifacts.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyTLS"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.artifacts.arn, "${aws_s3_bucket.artifacts.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}
