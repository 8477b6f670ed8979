-- The functions as they were before; their callers know both.
SET LOCAL ROLE ingot_owner;
DROP FUNCTION ingot.insert_transitions(bytea[], int[], int[], int[], int[], int[], bytea[], timestamptz[], json[]);
DROP FUNCTION ingot.insert_events(bytea[], text[], text[], json[], json[], json[], timestamptz[], timestamptz[]);

DROP FUNCTION ingot.events_to_deliver(bytea[]);

CREATE OR REPLACE FUNCTION ingot.read_events(ids bytea[], payload boolean) RETURNS SETOF ingot.event_row
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB'
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_material = off
SET max_parallel_workers_per_gather = 0 SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
  first CONSTANT bytea := ids[1]; -- so that segments beside them are not even opened
  last  CONSTANT bytea := ids[cardinality(ids)];
BEGIN
  RETURN QUERY
  SELECT e.id, r.*
  FROM unnest(ids) AS g (id)
  CROSS JOIN LATERAL (
    SELECT * FROM ingot.events WHERE id = g.id AND id BETWEEN first AND last OFFSET 0
  ) AS e
  CROSS JOIN LATERAL (
    SELECT -1 AS job, NULL::bytea AS id, e.source, e.name,
           CASE WHEN payload THEN e.context END, CASE WHEN payload THEN e.data END,
           CASE WHEN payload OR octet_length(e.jobs::text) <= 4096 THEN e.jobs
                ELSE ingot.jobs_to_route(e.jobs) END,
           NULL::bytea, e.sent_at, e.received_at, e.ingested_at,
           (SELECT r.created_at FROM ingot.retirements r
            WHERE r.event_id = e.id AND r.event_id BETWEEN first AND last),
           NULL::int, NULL::int, NULL::int, NULL::int, NULL::bytea, NULL::timestamptz, NULL::json,
           NULL::timestamptz
    UNION ALL
    SELECT b.job, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
           t.seq, t.attempt, t.state_before, t.state_after, t.owner, t.due_at,
           CASE WHEN payload THEN t.error END, t.created_at
    FROM generate_series(0, CASE json_typeof(e.jobs) WHEN 'array' THEN json_array_length(e.jobs)
                            ELSE 0 END - 1) AS b (job)
    CROSS JOIN LATERAL (
      SELECT * FROM ingot.transitions
      WHERE event_id = e.id AND event_id BETWEEN first AND last AND transitions.job = b.job
      ORDER BY event_id DESC, job DESC, seq DESC LIMIT 1
    ) AS t
    UNION ALL
    SELECT a.job, a.id, a.destination, a.event,
           CASE WHEN payload THEN a.context END, CASE WHEN payload THEN a.data END, NULL,
           a.parent_job_id, a.due_at, NULL, a.created_at, NULL,
           t.seq, t.attempt, t.state_before, t.state_after, t.owner, t.due_at,
           CASE WHEN payload THEN t.error END, t.created_at
    FROM ingot.added_jobs AS a
    LEFT JOIN LATERAL (
      SELECT * FROM ingot.transitions
      WHERE event_id = a.event_id AND event_id BETWEEN first AND last AND transitions.job = a.job
      ORDER BY event_id DESC, job DESC, seq DESC LIMIT 1
    ) AS t ON true
    WHERE a.event_id = e.id AND a.event_id BETWEEN first AND last
  ) AS r
  ORDER BY e.id, r.job;
END
$$;

CREATE OR REPLACE FUNCTION ingot.follow(after pg_snapshot, after_epoch int, after_system bigint)
RETURNS TABLE (
  kind int, event_id bytea, job int, id bytea, destination text, event text, jobs json,
  parent_job_id bytea, due_at timestamptz, created_at timestamptz, xid xid8,
  snapshot text, epoch int, system bigint, started_at timestamptz, in_recovery boolean,
  is_ours boolean)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB'
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_material = off
SET max_parallel_workers_per_gather = 0 SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  mine  CONSTANT int := (SELECT max(epoch) FROM ingot.epochs);
  first CONSTANT xid8[] := ARRAY(SELECT pg_snapshot_xip(after)) || pg_snapshot_xmax(after);
  last  CONSTANT xid8[] := ARRAY(SELECT pg_snapshot_xip(after)) || '18446744073709551615'::xid8;
BEGIN
  kind := 0;
  snapshot := pg_current_snapshot();
  xid := pg_snapshot_xmin(pg_current_snapshot());
  epoch := mine;
  system := (SELECT system_identifier FROM pg_control_system());
  started_at := pg_postmaster_start_time();
  in_recovery := pg_is_in_recovery();
  is_ours := after_epoch = mine AND after_system = system
             AND pg_snapshot_xmax(after) <= pg_snapshot_xmax(pg_current_snapshot());
  RETURN NEXT;
  IF is_ours IS NOT TRUE THEN
    RETURN;
  END IF;
  RETURN QUERY
  SELECT 1, e.id, NULL::int, NULL::bytea, NULL, NULL,
         CASE WHEN octet_length(e.jobs::text) <= 4096 THEN e.jobs
              ELSE ingot.jobs_to_route(e.jobs) END,
         NULL::bytea, NULL::timestamptz, e.ingested_at, e.xid, NULL, NULL::int, NULL::bigint,
         NULL::timestamptz, NULL::boolean, NULL::boolean
  FROM unnest(first, last) AS r (first, last) CROSS JOIN LATERAL (
    SELECT * FROM ingot.events WHERE epoch = mine AND xid BETWEEN r.first AND r.last OFFSET 0) AS e;
  RETURN QUERY
  SELECT 2, a.event_id, a.job, a.id, a.destination, a.event, NULL::json, a.parent_job_id, a.due_at,
         a.created_at, a.xid, NULL, NULL::int, NULL::bigint, NULL::timestamptz, NULL::boolean,
         NULL::boolean
  FROM unnest(first, last) AS r (first, last) CROSS JOIN LATERAL (
    SELECT * FROM ingot.added_jobs WHERE epoch = mine AND xid BETWEEN r.first AND r.last
    OFFSET 0) AS a;
  RETURN QUERY
  SELECT 3, n.event_id, n.job, NULL::bytea, NULL, NULL, NULL::json, NULL::bytea,
         NULL::timestamptz, n.created_at, n.xid, NULL, NULL::int, NULL::bigint, NULL::timestamptz,
         NULL::boolean, NULL::boolean
  FROM unnest(first, last) AS r (first, last) CROSS JOIN LATERAL (
    SELECT * FROM ingot.notices WHERE epoch = mine AND xid BETWEEN r.first AND r.last
    OFFSET 0) AS n;
END
$$;

DROP FUNCTION ingot.follow(pg_snapshot, int, bigint, bigint[]);
RESET ROLE;
