package prices

import (
	"context"
	"encoding/json"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/postgres/pg"
)

// KeepTypes stores what EC2 says of the instance types of a region. It sets a level, so
// a second run changes nothing.
func (s *Prices) KeepTypes(ctx context.Context, region string, types []replica.TypeFacts) error {
	raw, err := json.Marshal(types)
	if err != nil {
		return err
	}
	_, err = s.DB.Pool.Exec(ctx, `
INSERT INTO instance_types (region, name, vcpus, memory_mib, architectures, burstable, accelerators, local_gb, current,
    bare_metal)
SELECT $1, t.name, t.vcpus, t.memory_mib, t.architectures, t.burstable, t.accelerators, t.local_gb, t.current,
    t.bare_metal
FROM jsonb_to_recordset($2::jsonb) AS t (name text, vcpus int, memory_mib int, architectures text[], burstable boolean,
    accelerators int,
	local_gb int, current boolean, bare_metal boolean)
ON CONFLICT (region, name) DO UPDATE
SET vcpus = excluded.vcpus,
	memory_mib = excluded.memory_mib,
	architectures = excluded.architectures,
	burstable = excluded.burstable,
	accelerators = excluded.accelerators,
	local_gb = excluded.local_gb,
	current = excluded.current,
	bare_metal = excluded.bare_metal,
	refreshed_at = now()`, region, raw)
	return pg.Translate(err)
}

// fittingPerType is how many types have their prices collected for one in use.
const fittingPerType = 12

// Fitting lists the types that could replace those in use, by the default requirements:
// the nearest ones of each.
func (s *Prices) Fitting(ctx context.Context) ([]activities.TypeInRegion, error) {
	return pg.QueryRows[activities.TypeInRegion](ctx, s.DB, `
SELECT DISTINCT x.region, x.name AS instance_type
FROM (`+selectFitting+`) x
WHERE x.nearness <= $1
ORDER BY 1, 2`, fittingPerType)
}

// selectFitting ranks the types that could replace each one in use.
const selectFitting = `
	SELECT t.region, t.name, b.name AS base,
		row_number() OVER (PARTITION BY b.region, b.name ORDER BY t.vcpus, t.memory_mib, t.name) AS nearness
	FROM (SELECT DISTINCT region, instance_type FROM instances WHERE role IN ('primary', 'replica')) i
	JOIN instance_types b ON b.region = i.region AND b.name = i.instance_type
	JOIN instance_types t ON t.region = b.region
		AND t.name <> b.name
		AND t.architectures && b.architectures
		AND t.vcpus BETWEEN b.vcpus AND 2 * b.vcpus
		AND t.memory_mib BETWEEN b.memory_mib AND 2 * b.memory_mib
		AND t.burstable = b.burstable
		AND t.accelerators = b.accelerators
		AND t.current
		AND NOT t.bare_metal`
