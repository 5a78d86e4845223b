output "role_arn" {
  description = "role_arn of the client."
  value       = aws_iam_role.tenant.arn
}

output "delivery_role" {
  description = "One of tenant_delivery_roles of control-plane."
  value       = aws_iam_role.delivery.arn
}
