# What deploy/cloudformation/tenant-role.json and tenant-events.yaml make: a test compares the two.
data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  partition = data.aws_partition.current.partition
  ec2       = "ec2.${data.aws_partition.current.dns_suffix}"
  instances = "arn:${local.partition}:ec2:*:*:instance/*"
  requested = { "aws:RequestTag/managed-by" = "spotkeeper", "aws:RequestTag/spotkeeper:client" = var.client_id }
  marked    = { "aws:ResourceTag/managed-by" = "spotkeeper", "aws:ResourceTag/spotkeeper:client" = var.client_id }
  same      = { "aws:ResourceTag/spotkeeper:client" = var.client_id }
  tag_keys  = { "aws:TagKeys" = ["managed-by", "spotkeeper:*"] }
}

resource "aws_iam_role" "tenant" {
  name        = var.role_name
  description = "Spotkeeper looks after the instances of this account"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "ControlPlane"
      Effect    = "Allow"
      Principal = { AWS = "arn:${local.partition}:iam::${var.control_plane_account}:root" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "sts:ExternalId" = var.external_id }
        ArnLike      = { "aws:PrincipalArn" = "arn:${local.partition}:iam::${var.control_plane_account}:${var.control_plane_principal}" }
      }
    }]
  })
}

resource "aws_iam_role_policy" "spotkeeper" {
  name = "spotkeeper"
  role = aws_iam_role.tenant.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Look"
        Effect   = "Allow"
        Resource = "*"
        Action = [
          "ec2:DescribeAvailabilityZones",
          "ec2:DescribeImages",
          "ec2:DescribeInstanceAttribute",
          "ec2:DescribeInstanceCreditSpecifications",
          "ec2:DescribeInstanceStatus",
          "ec2:DescribeInstanceTypeOfferings",
          "ec2:DescribeInstanceTypes",
          "ec2:DescribeInstances",
          "ec2:DescribeKeyPairs",
          "ec2:DescribeSecurityGroups",
          "ec2:DescribeSpotInstanceRequests",
          "ec2:DescribeSpotPriceHistory",
          "ec2:DescribeSubnets",
          "ec2:DescribeVolumes",
          "ec2:GetSpotPlacementScores",
          "servicequotas:ListServiceQuotas",
        ]
      },
      {
        Sid      = "LaunchMarkedInstances"
        Effect   = "Allow"
        Action   = "ec2:RunInstances"
        Resource = local.instances
        Condition = { StringEquals = merge(local.requested, {
          "ec2:MetadataHttpTokens" = var.metadata_tokens == "required" ? ["required"] : ["required", "optional"]
        }) }
      },
      { Sid = "LaunchWithWhatIsThere", Effect = "Allow", Action = "ec2:RunInstances", NotResource = local.instances },
      {
        Sid       = "TagWhatIsLaunched"
        Effect    = "Allow"
        Action    = "ec2:CreateTags"
        Resource  = "*"
        Condition = { StringEquals = merge(local.requested, { "ec2:CreateAction" = "RunInstances" }) }
      },
      {
        Sid      = "TagWhatIsAdopted"
        Effect   = "Allow"
        Action   = "ec2:CreateTags"
        Resource = local.instances
        Condition = merge(
          {
            StringEquals              = var.adopt_untagged ? local.requested : merge(local.requested, local.same)
            "ForAllValues:StringLike" = local.tag_keys
          },
          var.adopt_untagged ? { StringEqualsIfExists = local.same } : {},
        )
      },
      {
        Sid       = "EndWhatIsMarked"
        Effect    = "Allow"
        Action    = ["ec2:TerminateInstances", "ec2:ModifyInstanceAttribute"]
        Resource  = local.instances
        Condition = { StringEquals = local.marked }
      },
      { Sid = "KeepEndedInstancesFromComingBack", Effect = "Allow", Action = "ec2:CancelSpotInstanceRequests", Resource = "*" },
      # Volumes that are encrypted with a key of the account; the key's policy decides as well.
      {
        Sid    = "OpenEncryptedVolumes"
        Effect = "Allow"
        Action = [
          "kms:CreateGrant",
          "kms:Decrypt",
          "kms:DescribeKey",
          "kms:GenerateDataKeyWithoutPlaintext",
          "kms:ReEncryptFrom",
          "kms:ReEncryptTo",
        ]
        Resource  = "*"
        Condition = { StringLike = { "kms:ViaService" = "ec2.*.${data.aws_partition.current.dns_suffix}" } }
      },
      {
        Sid       = "GiveReplacementsTheirRole"
        Effect    = "Allow"
        Action    = "iam:PassRole"
        Resource  = "arn:${local.partition}:iam::${data.aws_caller_identity.current.account_id}:role${var.instance_role_path}*"
        Condition = { StringEquals = { "iam:PassedToService" = local.ec2 } }
      },
    ]
  })
}

resource "aws_iam_role_policy" "named_roles" {
  count = length(var.instance_roles) > 0 ? 1 : 0
  name  = "spotkeeper-named-roles"
  role  = aws_iam_role.tenant.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "GiveReplacementsRolesByName"
      Effect    = "Allow"
      Action    = "iam:PassRole"
      Resource  = var.instance_roles
      Condition = { StringEquals = { "iam:PassedToService" = local.ec2 } }
    }]
  })
}
