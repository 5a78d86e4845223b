// Package accounts stores clients and what lets in their people, agents and instances:
// tokens, credentials, sessions, quotas, the role in their AWS account, and proofs of
// joining. Secrets are sealed with the deployment's keys, which Rekeying replaces.
package accounts
