output "instance_profile_arn" {
  description = "Instance profile of the instances."
  value       = aws_iam_instance_profile.instances.arn
}

output "user_data" {
  description = "cloud-config that installs the agent at the first boot."
  value       = "#cloud-config\n${yamlencode({ runcmd = [local.install] })}"
}
