# The role that instances have, what installs the agent on them, and SSM as the way to instances that run already.
data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  parameter = "arn:${data.aws_partition.current.partition}:ssm:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:parameter/${trimprefix(var.token_parameter, "/")}"
  install = join("\n", [
    "set -eu",
    "umask 077",
    "curl -fsSL --retry 5 '${var.packages}/install.sh' -o /run/spotkeeper-install.sh",
    "aws ssm get-parameter --region '${data.aws_region.current.region}' --name '${var.token_parameter}' --with-decryption --query Parameter.Value --output text > /run/spotkeeper-token",
    "SPOTKEEPER_PACKAGES='${var.packages}' SPOTKEEPER_API='${var.api}' SPOTKEEPER_AGENT_ID='${var.agent_id}' sh /run/spotkeeper-install.sh < /run/spotkeeper-token",
    "rm -f /run/spotkeeper-token /run/spotkeeper-install.sh",
  ])
}

resource "aws_iam_role" "instances" {
  name = var.role_name
  path = var.role_path
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ec2.${data.aws_partition.current.dns_suffix}" }
      Action    = "sts:AssumeRole"
    }]
  })
}

# To join, an agent needs no permission; to read its token, this one.
resource "aws_iam_role_policy" "token" {
  name = "read-enrolment-token"
  role = aws_iam_role.instances.name
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Sid = "ReadTheToken", Effect = "Allow", Action = "ssm:GetParameter", Resource = local.parameter }]
  })
}

resource "aws_iam_instance_profile" "instances" {
  name = var.role_name
  path = var.role_path
  role = aws_iam_role.instances.name
}

resource "aws_ssm_association" "install" {
  count            = length(var.ssm_targets) > 0 ? 1 : 0
  association_name = "spotkeeper-agent"
  name             = "AWS-RunShellScript"
  parameters       = { commands = local.install }
  dynamic "targets" {
    for_each = var.ssm_targets
    content {
      key    = "tag:${targets.key}"
      values = targets.value
    }
  }
}
