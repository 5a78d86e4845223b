// Package iac checks what deploy makes in AWS: the CloudFormation templates as moto
// creates them, the policies in them against every call of the code, and the Terraform
// modules against the templates.
package iac
