output "role_arn" {
  description = "The role of api and worker."
  value       = aws_iam_role.control_plane.arn
}

output "queue_arn" {
  description = "queue_arn of tenant-account."
  value       = aws_sqs_queue.events.arn
}

output "environment" {
  description = "Settings of api and worker."
  value = {
    AWS_REGION       = data.aws_region.current.region
    ARTIFACTS_URL    = "s3://${local.bucket}/models"
    EVENTS_QUEUE_URL = aws_sqs_queue.events.url
  }
}
