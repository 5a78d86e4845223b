# What deploy/cloudformation/tenant-drills.yaml makes: a test compares the two.
data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.region
}

resource "aws_iam_role" "drills" {
  name        = "spotkeeper-drills-${local.region}"
  description = "Interrupts spot instances that are tagged for drills"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "fis.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:fis:*:${local.account}:experiment/*" }
      }
    }]
  })
}

resource "aws_iam_role_policy" "interrupt" {
  name = "interrupt"
  role = aws_iam_role.drills.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Sid = "Look", Effect = "Allow", Action = "ec2:DescribeInstances", Resource = "*" },
      {
        Sid      = "InterruptWhatIsTaggedForDrills"
        Effect   = "Allow"
        Action   = "ec2:SendSpotInstanceInterruptions"
        Resource = "arn:${local.partition}:ec2:${local.region}:${local.account}:instance/*"
        Condition = { StringEquals = {
          "aws:ResourceTag/spotkeeper:client" = var.client_id
          "aws:ResourceTag/spotkeeper:drill"  = "yes"
        } }
      },
    ]
  })
}

resource "aws_fis_experiment_template" "interruption" {
  description = "A real interruption notice for one instance that is tagged for drills"
  role_arn    = aws_iam_role.drills.arn
  stop_condition {
    source = "none" # a notice cannot be taken back
  }
  target {
    name           = "primary"
    resource_type  = "aws:ec2:spot-instance"
    selection_mode = "COUNT(1)"
    resource_tag {
      key   = "spotkeeper:drill"
      value = "yes"
    }
    filter {
      path   = "State.Name"
      values = ["running"]
    }
  }
  action {
    name      = "interrupt"
    action_id = "aws:ec2:send-spot-instance-interruptions"
    parameter {
      key   = "durationBeforeInterruption"
      value = "PT2M"
    }
    target {
      key   = "SpotInstances"
      value = "primary"
    }
  }
  tags = { Name = "spotkeeper-drill" }
}
