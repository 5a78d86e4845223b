// Package pages serves what people read: the pages of a client, of an instance and of
// operators, events and notifications.
package pages
