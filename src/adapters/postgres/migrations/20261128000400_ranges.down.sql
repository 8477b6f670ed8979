-- The functions as they were before.
SET LOCAL ROLE ingot_owner;
DROP FUNCTION ingot.find_event_ids(bytea, int, boolean);

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
SET enable_mergejoin = off SET enable_material = off
SET max_parallel_workers_per_gather = 0 SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  first   CONSTANT bytea := ids[1]; -- so that segments beside them are not even opened
  last    CONSTANT bytea := ids[cardinality(ids)];
  retired CONSTANT boolean :=
    EXISTS (SELECT FROM ingot.retirements WHERE event_id BETWEEN first AND last);
  grown   bytea[] := '{}';
BEGIN
  IF EXISTS (SELECT FROM ingot.added_jobs WHERE event_id BETWEEN first AND last) THEN
    grown := ARRAY(SELECT DISTINCT event_id FROM ingot.added_jobs
                   WHERE event_id = ANY (ids) AND event_id BETWEEN first AND last
                   ORDER BY event_id);
  END IF;
  -- To plan anew costs as much as to choose the segment of some hundred events one by one.
  IF cardinality(ids) >= 100 THEN
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
  IF cardinality(grown) > 0 THEN
    RETURN QUERY SELECT r.*, NULL::int FROM ingot.read_events(grown, payload) AS r;
  END IF;
END
$$;
RESET ROLE;
