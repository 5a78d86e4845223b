// Package awsevents stores what AWS's events say about instances: notices, scheduled
// changes and the moves before them, actions of Auto Scaling groups, and surveys of what an
// event may have missed. It takes notices in through the stores of package postgres.
package awsevents
