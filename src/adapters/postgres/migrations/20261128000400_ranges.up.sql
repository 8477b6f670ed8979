-- Events that stand close together are read as ranges (docs/decisions/0020).
SET LOCAL ROLE ingot_owner;

-- As before, but in any order. Of many ids, between the first and the last of which there
-- are at most four times as many rows, all these rows are read: to pass over a row costs
-- less than to descend from the root of the key to one.
CREATE OR REPLACE FUNCTION ingot.events_with_newest(ids bytea[], payload boolean)
RETURNS TABLE (
  event_id bytea, job int, id bytea, first_text text, second_text text, context json, data json,
  jobs json, parent_job_id bytea, first_time timestamptz, second_time timestamptz,
  created_at timestamptz, retired_at timestamptz,
  seq int, attempt int, state_before int, state_after int, owner bytea, due_at timestamptz,
  error json, moved_at timestamptz, newest_job int)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB'
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_material = off SET enable_nestloop = on
SET max_parallel_workers_per_gather = 0 SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  first   CONSTANT bytea := ids[1]; -- so that segments beside them are not even opened
  last    CONSTANT bytea := ids[cardinality(ids)];
  retired CONSTANT boolean :=
    EXISTS (SELECT FROM ingot.retirements WHERE event_id BETWEEN first AND last);
  many    CONSTANT int := cardinality(ids);
  dense   CONSTANT boolean := -- an eighth is counted first: mostly that will do where they are not
    many >= 100
    AND NOT EXISTS (SELECT FROM ingot.events
                    WHERE id BETWEEN first AND ids[many / 8] OFFSET many / 2)
    AND NOT EXISTS (SELECT FROM ingot.events WHERE id BETWEEN first AND last OFFSET many * 4)
    AND NOT EXISTS (SELECT FROM ingot.transitions
                    WHERE event_id BETWEEN first AND last OFFSET many * 4);
  grown   bytea[] := '{}';
BEGIN
  IF EXISTS (SELECT FROM ingot.added_jobs WHERE event_id BETWEEN first AND last) THEN
    grown := ARRAY(SELECT DISTINCT event_id FROM ingot.added_jobs
                   WHERE event_id = ANY (ids) AND event_id BETWEEN first AND last
                   ORDER BY event_id);
  END IF;
  IF dense THEN
    -- From the last to the first, as the newest of a chain are found: nothing is to be sorted.
    -- The clauses above take these settings back.
    PERFORM set_config('enable_mergejoin', 'on', true), set_config('enable_nestloop', 'off', true);
    RETURN QUERY
    SELECT e.id, -1, NULL::bytea, e.source, e.name,
           CASE WHEN payload THEN e.context END, CASE WHEN payload THEN e.data END,
           CASE WHEN payload OR octet_length(e.jobs::text) <= 4096 THEN e.jobs
                ELSE ingot.jobs_to_route(e.jobs) END,
           NULL::bytea, e.sent_at, e.received_at, e.ingested_at,
           CASE WHEN retired THEN (SELECT r.created_at FROM ingot.retirements r
                                   WHERE r.event_id = e.id AND r.event_id BETWEEN first AND last) END,
           t.seq, t.attempt, t.state_before::int, t.state_after::int, t.owner, t.due_at,
           CASE WHEN payload THEN t.error END, t.created_at, t.job
    FROM unnest(ids) AS g (id)
    JOIN (SELECT * FROM ingot.events WHERE id BETWEEN first AND last) AS e ON e.id = g.id
    LEFT JOIN (
      SELECT DISTINCT ON (event_id) * FROM ingot.transitions
      WHERE event_id BETWEEN first AND last
      ORDER BY event_id DESC, job DESC, seq DESC
    ) AS t ON t.event_id = e.id
    WHERE e.id <> ALL (grown)
    ORDER BY e.id DESC;
  ELSE
    -- To plan anew costs as much as to choose the segment of some hundred events one by one.
    IF many >= 100 THEN
      PERFORM set_config('plan_cache_mode', 'force_custom_plan', true);
    END IF;
    RETURN QUERY
    SELECT e.id, -1, NULL::bytea, e.source, e.name,
           CASE WHEN payload THEN e.context END, CASE WHEN payload THEN e.data END,
           CASE WHEN payload OR octet_length(e.jobs::text) <= 4096 THEN e.jobs
                ELSE ingot.jobs_to_route(e.jobs) END,
           NULL::bytea, e.sent_at, e.received_at, e.ingested_at,
           CASE WHEN retired THEN (SELECT r.created_at FROM ingot.retirements r
                                   WHERE r.event_id = e.id AND r.event_id BETWEEN first AND last) END,
           t.seq, t.attempt, t.state_before::int, t.state_after::int, t.owner, t.due_at,
           CASE WHEN payload THEN t.error END, t.created_at, t.job
    FROM ingot.events AS e
    LEFT JOIN LATERAL (
      SELECT * FROM ingot.transitions
      WHERE event_id = e.id AND event_id BETWEEN first AND last
      ORDER BY event_id DESC, job DESC, seq DESC LIMIT 1
    ) AS t ON true
    -- An array that the planner does not know: it would weigh each of its elements.
    WHERE e.id = ANY (ARRAY(SELECT unnest(ids))) AND e.id BETWEEN first AND last
      AND e.id <> ALL (grown)
    ORDER BY e.id;
  END IF;
  IF cardinality(grown) > 0 THEN
    RETURN QUERY SELECT r.*, NULL::int FROM ingot.read_events(grown, payload) AS r;
  END IF;
END
$$;

-- The ids of events that are not retired from an id on, ascending; of those only that have a
-- discarded job, if "discarded".
CREATE FUNCTION ingot.find_event_ids(behind bytea, how_many int, discarded boolean)
RETURNS SETOF bytea LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_material = off
SET max_parallel_workers_per_gather = 0 SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
  IF discarded THEN
    RETURN QUERY
    SELECT d.event_id
    FROM (SELECT DISTINCT t.event_id FROM ingot.transitions t
          WHERE t.state_after = 6 AND t.event_id >= behind ORDER BY t.event_id OFFSET 0) AS d
    WHERE NOT EXISTS (SELECT FROM ingot.retirements r WHERE r.event_id = d.event_id OFFSET 0)
      AND EXISTS (SELECT FROM ingot.events e WHERE e.id = d.event_id OFFSET 0)
    ORDER BY d.event_id LIMIT how_many;
  ELSE
    RETURN QUERY
    SELECT e.id FROM ingot.events e
    WHERE e.id >= behind
      AND NOT EXISTS (SELECT FROM ingot.retirements r WHERE r.event_id = e.id OFFSET 0)
    ORDER BY e.id LIMIT how_many;
  END IF;
END
$$;

GRANT EXECUTE ON FUNCTION ingot.find_event_ids(bytea, int, boolean) TO ingot_reader;
RESET ROLE;
