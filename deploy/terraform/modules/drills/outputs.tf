output "experiment_template" {
  description = "For aws fis start-experiment --experiment-template-id."
  value       = aws_fis_experiment_template.interruption.id
}
