variable "control_plane_account" {
  description = "AWS account of the control plane."
  type        = string
  validation {
    condition     = can(regex("^[0-9]{12}$", var.control_plane_account))
    error_message = "An account has twelve digits."
  }
}

variable "control_plane_principal" {
  description = "Who of that account may assume the role, as role/spotkeeper-control-plane; * for everybody whom that account lets."
  type        = string
  default     = "*"
}

variable "external_id" {
  description = "external_id of the client."
  type        = string
}

variable "client_id" {
  description = "Id of the client."
  type        = string
}

variable "role_name" {
  description = "Name of the role; the control plane may assume roles that begin with spotkeeper-."
  type        = string
  default     = "spotkeeper-tenant"
}

variable "instance_role_path" {
  description = "IAM path of the roles that instances may be launched with."
  type        = string
  default     = "/spotkeeper/"
}

variable "instance_roles" {
  description = "ARNs of further roles, outside of the path, that instances may be launched with."
  type        = list(string)
  default     = []
}

variable "metadata_tokens" {
  description = "any: also launch instances whose metadata service answers without a token, as copies of such instances."
  type        = string
  default     = "required"
}

variable "adopt_untagged" {
  description = "false: only instances that you have tagged spotkeeper:client yourself can be looked after."
  type        = bool
  default     = true
}

variable "queue_arn" {
  description = "Output queue_arn of control-plane in this region."
  type        = string
}
