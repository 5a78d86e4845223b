variable "client_id" {
  description = "Id of the client."
  type        = string
}
