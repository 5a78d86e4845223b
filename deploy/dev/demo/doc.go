// Package demo is a simulated fleet that lives: agents on simulated instances
// register, report and are interrupted, over the real HTTP contract and on their
// own clocks, while a narrator says in plain sentences what happens.
//
// Nothing here reaches into the product: the demo knows its HTTP contract and
// the simulator's control API, as a customer's machines know theirs.
package demo
