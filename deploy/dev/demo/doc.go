// Package demo runs a simulated fleet: agents on simulated instances register, report
// and are interrupted, over the real HTTP contract and on their own clocks, while a
// narrator prints in plain sentences what happens.
//
// The demo imports nothing of the product: it uses the HTTP contract and the
// simulator's control API.
package demo
