resource "aws_iam_role" "control_plane" {
  name        = var.role_name
  description = "What Spotkeeper's api and worker may do"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [for s in [
      {
        Sid       = "Pods"
        Effect    = "Allow"
        Principal = { Service = "pods.eks.amazonaws.com" }
        Action    = ["sts:AssumeRole", "sts:TagSession"]
        Condition = { StringEquals = {
          "aws:SourceAccount"                         = local.account
          "aws:RequestTag/kubernetes-namespace"       = var.namespace
          "aws:RequestTag/kubernetes-service-account" = var.service_accounts
        } }
      },
      {
        Sid       = "Machines"
        Effect    = "Allow"
        Principal = { Service = var.runs_on == "ec2" ? local.ec2 : "ecs-tasks.amazonaws.com" }
        Action    = ["sts:AssumeRole"]
      },
    ] : s if(s.Sid == "Pods") == (var.runs_on == "eks")]
  })
}

resource "aws_iam_role_policy" "control_plane" {
  name = "control-plane"
  role = aws_iam_role.control_plane.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      # Prices and places are read in this account, for everybody.
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
      { Sid = "ReadThePriceList", Effect = "Allow", Action = "pricing:GetProducts", Resource = "*" },
      {
        Sid      = "ActInTheAccountsOfTenants"
        Effect   = "Allow"
        Action   = "sts:AssumeRole"
        Resource = length(var.tenant_roles) > 0 ? var.tenant_roles : ["arn:${local.partition}:iam::*:role/spotkeeper-*"]
      },
      {
        Sid      = "KeepUploadedModels"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
        Resource = "${aws_s3_bucket.artifacts.arn}/*"
      },
      { Sid = "ListUploadedModels", Effect = "Allow", Action = "s3:ListBucket", Resource = aws_s3_bucket.artifacts.arn },
    ]
  })
}

# Of all of this, instances in other accounts need nothing.
resource "aws_iam_role_policy" "own_account" {
  count = var.own_account ? 1 : 0
  name  = "own-account"
  role  = aws_iam_role.control_plane.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "LaunchMarkedInstances"
        Effect   = "Allow"
        Action   = "ec2:RunInstances"
        Resource = local.instances
        Condition = {
          StringEquals = {
            "aws:RequestTag/managed-by" = "spotkeeper"
            "ec2:MetadataHttpTokens"    = var.metadata_tokens == "required" ? ["required"] : ["required", "optional"]
          }
          Null = { "aws:RequestTag/spotkeeper:client" = "false" }
        }
      },
      {
        Sid         = "LaunchWithWhatIsThere"
        Effect      = "Allow"
        Action      = "ec2:RunInstances"
        NotResource = "arn:${local.partition}:ec2:*:*:instance/*"
      },
      {
        Sid       = "TagWhatIsLaunched"
        Effect    = "Allow"
        Action    = "ec2:CreateTags"
        Resource  = "*"
        Condition = { StringEquals = { "ec2:CreateAction" = "RunInstances", "aws:RequestTag/managed-by" = "spotkeeper" } }
      },
      # Several tenants share this account, so an instance names its tenant before it is adopted.
      {
        Sid      = "TagWhatIsAdopted"
        Effect   = "Allow"
        Action   = "ec2:CreateTags"
        Resource = local.instances
        Condition = {
          StringEquals              = { "aws:RequestTag/managed-by" = "spotkeeper" }
          Null                      = { "aws:ResourceTag/spotkeeper:client" = "false" }
          "ForAllValues:StringLike" = { "aws:TagKeys" = ["managed-by", "spotkeeper:*"] }
        }
      },
      {
        Sid      = "EndWhatIsMarked"
        Effect   = "Allow"
        Action   = ["ec2:TerminateInstances", "ec2:ModifyInstanceAttribute"]
        Resource = local.instances
        Condition = {
          StringEquals = { "aws:ResourceTag/managed-by" = "spotkeeper" }
          Null         = { "aws:ResourceTag/spotkeeper:client" = "false" }
        }
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
        Resource  = "arn:${local.partition}:iam::${local.account}:role${var.instance_role_path}*"
        Condition = { StringEquals = { "iam:PassedToService" = local.ec2 } }
      },
    ]
  })
}

resource "aws_iam_policy" "read_events" {
  name = "spotkeeper-read-events"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"]
      Resource = aws_sqs_queue.events.arn
    }]
  })
}

resource "aws_iam_role_policy_attachment" "read_events" {
  role       = aws_iam_role.control_plane.name
  policy_arn = aws_iam_policy.read_events.arn
}

resource "aws_iam_instance_profile" "control_plane" {
  count = var.runs_on == "ec2" ? 1 : 0
  name  = var.role_name
  role  = aws_iam_role.control_plane.name
}
