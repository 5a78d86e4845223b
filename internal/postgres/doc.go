// Package postgres stores the roles of instances and all that changes them: replicas,
// notices, switches and their commands, launches and operations. The packages below it
// store the rest. Each exported method is one statement or one transaction, and says why
// it may run twice. Nothing here judges: rules are in the domains and, where SQL can
// express them, in named constraints.
package postgres
