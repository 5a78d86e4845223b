// Package onnxtest writes small ONNX models for tests, field by field, so that
// nothing but the wire format is needed to make one.
package onnxtest

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Split is one decision of a tree: rows whose feature is at most Below get
// Value, the others go on to the next split, and the last ones get Otherwise.
type Split struct {
	Below float32
	Value float32
}

// Model is a gradient-boosted tree of one tree, as boosting libraries export
// it: one operator TreeEnsembleRegressor.
type Model struct {
	Feature   int // which input column is asked
	Splits    []Split
	Otherwise float32

	Inputs   int    // columns
	Output   string // default "risk"
	Metadata map[string]string
	// ElementType of the input; 0 is float. 11, double, is one we refuse.
	ElementType uint64
}

// Bytes is the file.
func (m Model) Bytes() []byte {
	if m.Output == "" {
		m.Output = "risk"
	}
	if m.ElementType == 0 {
		m.ElementType = 1
	}
	var graph message
	graph.bytes(1, m.node())
	graph.text(2, "tree")
	graph.bytes(11, tensor("features", m.ElementType, m.Inputs))
	graph.bytes(12, tensor(m.Output, 1, 1))

	var model message
	model.number(1, 8) // IR version
	model.bytes(7, graph)
	for domain, version := range map[string]uint64{"": 15, "ai.onnx.ml": 3} {
		var opset message
		opset.text(1, domain)
		opset.number(2, version)
		model.bytes(8, opset)
	}
	for key, value := range m.Metadata {
		var entry message
		entry.text(1, key)
		entry.text(2, value)
		model.bytes(14, entry)
	}
	return model
}

// node is the tree: split i is node 2i, its leaf node 2i+1, the last leaf 2n.
func (m Model) node() message {
	var t table
	for i, s := range m.Splits {
		t.branch(int64(2*i), int64(m.Feature), s.Below, int64(2*i+1), int64(2*i+2))
		t.leaf(int64(2*i+1), s.Value)
	}
	t.leaf(int64(2*len(m.Splits)), m.Otherwise)

	zeros := make([]int64, len(t.ids))
	var n message
	n.text(1, "features")
	n.text(2, m.Output)
	n.text(4, "TreeEnsembleRegressor")
	n.text(7, "ai.onnx.ml")
	n.bytes(5, ints("nodes_treeids", zeros))
	n.bytes(5, ints("nodes_nodeids", t.ids))
	n.bytes(5, ints("nodes_featureids", t.features))
	n.bytes(5, floats("nodes_values", t.values))
	n.bytes(5, texts("nodes_modes", t.modes))
	n.bytes(5, ints("nodes_truenodeids", t.yes))
	n.bytes(5, ints("nodes_falsenodeids", t.no))
	n.bytes(5, ints("target_treeids", zeros[:len(t.leaves)]))
	n.bytes(5, ints("target_nodeids", t.leaves))
	n.bytes(5, ints("target_ids", zeros[:len(t.leaves)]))
	n.bytes(5, floats("target_weights", t.weights))
	n.bytes(5, number("n_targets", 1))
	return n
}

// table is a tree in the form of the ONNX operator: one column per property.
type table struct {
	ids, features, yes, no, leaves []int64
	values, weights                []float32
	modes                          []string
}

func (t *table) add(id, feature int64, value float32, mode string, yes, no int64) {
	t.ids, t.features, t.values = append(t.ids, id), append(t.features, feature), append(t.values, value)
	t.modes, t.yes, t.no = append(t.modes, mode), append(t.yes, yes), append(t.no, no)
}

func (t *table) branch(id, feature int64, below float32, yes, no int64) {
	t.add(id, feature, below, "BRANCH_LEQ", yes, no)
}

func (t *table) leaf(id int64, weight float32) {
	t.add(id, 0, 0, "LEAF", 0, 0)
	t.leaves, t.weights = append(t.leaves, id), append(t.weights, weight)
}

// tensor is the type [n, columns] of a value.
func tensor(name string, elementType uint64, columns int) message {
	var rows, width, shape, typed, wrapped, value message
	rows.text(2, "n")
	width.number(1, uint64(columns))
	shape.bytes(1, rows)
	shape.bytes(1, width)
	typed.number(1, elementType)
	typed.bytes(2, shape)
	wrapped.bytes(1, typed)
	value.text(1, name)
	value.bytes(2, wrapped)
	return value
}

// The kinds of attribute that are needed; the numbers are ONNX's.
func attribute(name string, kind uint64) message {
	var a message
	a.text(1, name)
	a.number(20, kind)
	return a
}

func number(name string, i uint64) message {
	a := attribute(name, 2)
	a.number(3, i)
	return a
}

func floats(name string, list []float32) message {
	a := attribute(name, 6)
	for _, f := range list {
		a = protowire.AppendTag(a, 7, protowire.Fixed32Type)
		a = protowire.AppendFixed32(a, math.Float32bits(f))
	}
	return a
}

func ints(name string, list []int64) message {
	a := attribute(name, 7)
	for _, i := range list {
		a.number(8, uint64(i))
	}
	return a
}

func texts(name string, list []string) message {
	a := attribute(name, 8)
	for _, s := range list {
		a.text(9, s)
	}
	return a
}

// message is a protobuf message being written.
type message []byte

func (m *message) number(field protowire.Number, v uint64) {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, field, protowire.VarintType), v)
}

func (m *message) bytes(field protowire.Number, v []byte) {
	*m = protowire.AppendBytes(protowire.AppendTag(*m, field, protowire.BytesType), v)
}

func (m *message) text(field protowire.Number, v string) { m.bytes(field, []byte(v)) }
