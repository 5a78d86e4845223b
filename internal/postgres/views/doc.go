// Package views reads what pages, lists and legacy routes show. It writes nothing.
package views
