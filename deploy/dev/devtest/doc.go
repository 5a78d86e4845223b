// Package devtest starts whole stacks for end-to-end tests: every part is a
// process of its own, in a temporary directory and on free ports, so that a
// test can kill any one of them with -9 and start it again where it was.
package devtest
