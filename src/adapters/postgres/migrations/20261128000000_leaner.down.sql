-- The functions as they were before.
SET LOCAL ROLE ingot_owner;
DROP FUNCTION ingot.newest_of_lower_jobs(bytea[], int[], boolean);
DROP FUNCTION ingot.events_with_newest(bytea[], boolean);

CREATE OR REPLACE FUNCTION ingot.insert_events(
  ids bytea[], sources text[], names text[], contexts json[], datas json[], jobs json[],
  sent timestamptz[], received timestamptz[])
RETURNS SETOF bytea LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' SET jit = off SET work_mem = '64MB'
AS $$
BEGIN
  IF cardinality(ids) >= 8 THEN
    BEGIN
      INSERT INTO ingot.events (id, source, name, context, data, jobs, sent_at, received_at)
      SELECT g.id, g.source, g.name, g.context, g.data, g.jobs, g.sent_at,
             coalesce(g.received_at, clock_timestamp())
      FROM unnest(ids, sources, names, contexts, datas, jobs, sent, received)
           AS g (id, source, name, context, data, jobs, sent_at, received_at);
      RETURN NEXT NULL;
      RETURN;
    EXCEPTION WHEN unique_violation THEN
      NULL;
    END;
  END IF;
  RETURN QUERY
  INSERT INTO ingot.events AS e (id, source, name, context, data, jobs, sent_at, received_at)
  SELECT g.id, g.source, g.name, g.context, g.data, g.jobs, g.sent_at,
         coalesce(g.received_at, clock_timestamp())
  FROM unnest(ids, sources, names, contexts, datas, jobs, sent, received) WITH ORDINALITY
       AS g (id, source, name, context, data, jobs, sent_at, received_at, n)
  ORDER BY g.id, g.n
  ON CONFLICT DO NOTHING
  RETURNING e.id;
END
$$;

CREATE OR REPLACE FUNCTION ingot.insert_transitions(
  event_ids bytea[], jobs int[], seqs int[], attempts int[], befores int[], afters int[],
  owners bytea[], dues timestamptz[], errors json[])
RETURNS TABLE (event_id bytea, job int, seq int) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' SET jit = off SET work_mem = '64MB'
AS $$
#variable_conflict use_column
BEGIN
  IF cardinality(event_ids) >= 8 THEN
    BEGIN
      INSERT INTO ingot.transitions
        (event_id, job, seq, attempt, state_before, state_after, owner, due_at, error)
      SELECT *
      FROM unnest(event_ids, jobs, seqs, attempts, befores, afters, owners, dues, errors);
      RETURN NEXT;
      RETURN;
    EXCEPTION WHEN unique_violation THEN
      NULL;
    END;
  END IF;
  RETURN QUERY
  INSERT INTO ingot.transitions AS t
    (event_id, job, seq, attempt, state_before, state_after, owner, due_at, error)
  SELECT g.event_id, g.job, g.seq, g.attempt, g.state_before, g.state_after, g.owner, g.due_at,
         g.error
  FROM unnest(event_ids, jobs, seqs, attempts, befores, afters, owners, dues, errors)
       WITH ORDINALITY AS g (event_id, job, seq, attempt, state_before, state_after, owner, due_at,
                             error, n)
  ORDER BY g.event_id, g.job, g.seq, g.n
  ON CONFLICT DO NOTHING
  RETURNING t.event_id, t.job, t.seq;
END
$$;

CREATE OR REPLACE FUNCTION ingot.follow(
  after pg_snapshot, after_epoch int, after_system bigint, known bigint[])
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
  told  CONSTANT xid8[] := ARRAY(SELECT k::text::xid8 FROM unnest(known) AS k);
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
    SELECT * FROM ingot.events WHERE epoch = mine AND xid BETWEEN r.first AND r.last
      AND xid <> ALL (told) OFFSET 0) AS e;
  RETURN QUERY
  SELECT 2, a.event_id, a.job, a.id, a.destination, a.event, NULL::json, a.parent_job_id, a.due_at,
         a.created_at, a.xid, NULL, NULL::int, NULL::bigint, NULL::timestamptz, NULL::boolean,
         NULL::boolean
  FROM unnest(first, last) AS r (first, last) CROSS JOIN LATERAL (
    SELECT * FROM ingot.added_jobs WHERE epoch = mine AND xid BETWEEN r.first AND r.last
      AND xid <> ALL (told) OFFSET 0) AS a;
  RETURN QUERY
  SELECT 3, n.event_id, n.job, NULL::bytea, NULL, NULL, NULL::json, NULL::bytea,
         NULL::timestamptz, n.created_at, n.xid, NULL, NULL::int, NULL::bigint, NULL::timestamptz,
         NULL::boolean, NULL::boolean
  FROM unnest(first, last) AS r (first, last) CROSS JOIN LATERAL (
    SELECT * FROM ingot.notices WHERE epoch = mine AND xid BETWEEN r.first AND r.last
      AND xid <> ALL (told) OFFSET 0) AS n;
END
$$;
RESET ROLE;
