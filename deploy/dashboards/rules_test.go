package dashboards

import (
	_ "github.com/prometheus/prometheus/model/rulefmt"
	_ "github.com/prometheus/prometheus/promql"
	_ "github.com/prometheus/prometheus/promql/parser"
	_ "github.com/prometheus/prometheus/rules"
	_ "github.com/stretchr/testify/require"
	_ "github.com/prometheus/prometheus/util/teststorage"
)
