variable "role_name" {
  description = "Name of the role of api and worker; tenants may name it as control_plane_principal role/<name>."
  type        = string
  default     = "spotkeeper-control-plane"
}

variable "runs_on" {
  description = "Where api and worker run: eks (EKS Pod Identity), ecs or ec2."
  type        = string
  default     = "eks"
  validation {
    condition     = contains(["eks", "ecs", "ec2"], var.runs_on)
    error_message = "runs_on is eks, ecs or ec2."
  }
}

variable "namespace" {
  description = "On EKS, the namespace of the service accounts."
  type        = string
  default     = "spotkeeper"
}

variable "service_accounts" {
  description = "On EKS, the service accounts that may have the role."
  type        = list(string)
  default     = ["spotkeeper-api", "spotkeeper-worker"]
}

variable "tenant_roles" {
  description = "ARNs of the tenants' roles, * allowed; empty for every role spotkeeper-* of any account."
  type        = list(string)
  default     = []
}

variable "tenant_delivery_roles" {
  description = "ARNs of the delivery roles of tenant accounts (output delivery_role of tenant-account)."
  type        = list(string)
  default     = []
}

variable "own_account" {
  description = "Whether tenants may live in this account too (own_account)."
  type        = bool
  default     = false
}

variable "instance_role_path" {
  description = "With own_account, the IAM path of the roles that instances may be launched with."
  type        = string
  default     = "/spotkeeper/"
}

variable "metadata_tokens" {
  description = "With own_account, any: also launch copies of instances whose metadata service answers without a token."
  type        = string
  default     = "required"
  validation {
    condition     = contains(["required", "any"], var.metadata_tokens)
    error_message = "metadata_tokens is required or any."
  }
}

variable "artifacts_bucket" {
  description = "Name of the bucket of uploaded models; empty for spotkeeper-artifacts-<account>-<region>."
  type        = string
  default     = ""
}
