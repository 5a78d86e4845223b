variable "api" {
  description = "Address of the control plane, as https://spotkeeper.example.com."
  type        = string
}

variable "packages" {
  description = "Address of the directory with the packages of the agent, checksums.txt and install.sh."
  type        = string
}

variable "agent_id" {
  description = "What the instances work for: a name, or tag:KEY for the value of an instance tag."
  type        = string
}

variable "token_parameter" {
  description = "Name of the SSM parameter (SecureString) with the enrolment token."
  type        = string
}

variable "role_name" {
  description = "Name of the instances' role, on the path that the control plane may pass."
  type        = string
  default     = "spotkeeper-agent"
}

variable "role_path" {
  description = "IAM path of the role: instance_role_path of tenant-account."
  type        = string
  default     = "/spotkeeper/"
}

variable "ssm_targets" {
  description = "Tags (key to values) of instances on which the agent is installed by SSM, for those that run already; empty: none."
  type        = map(list(string))
  default     = {}
}
