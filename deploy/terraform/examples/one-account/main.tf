# A control plane and one tenant that live in the same account and region.
provider "aws" {
  region = "eu-west-1"
}

data "aws_caller_identity" "current" {}

variable "external_id" {
  description = "From GET /api/client/<id>/account."
  type        = string
}

variable "client_id" {
  description = "Id of the client."
  type        = string
}

module "control_plane" {
  source                = "../../modules/control-plane"
  tenant_roles          = [module.tenant.role_arn]
  tenant_delivery_roles = [module.tenant.delivery_role]
}

module "tenant" {
  source                  = "../../modules/tenant-account"
  control_plane_account   = data.aws_caller_identity.current.account_id
  control_plane_principal = "role/spotkeeper-control-plane"
  external_id             = var.external_id
  client_id               = var.client_id
  queue_arn               = "arn:aws:sqs:eu-west-1:${data.aws_caller_identity.current.account_id}:spotkeeper-events"
}

module "agent" {
  source          = "../../modules/agent"
  api             = "https://spotkeeper.example.com"
  packages        = "https://packages.example.com/agent"
  agent_id        = "web"
  token_parameter = "/spotkeeper/web/enrolment"
}

output "environment" {
  value = module.control_plane.environment
}
