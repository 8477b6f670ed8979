-- Rows that nobody else has written, which is nearly all of them, go in plainly:
-- ON CONFLICT inserts each speculatively, and costs half as much again
-- (docs/decisions/0009). Only if one of them turns out to be taken are they taken
-- back, and go in row by row. A few rows are not worth a subtransaction. Processes of
-- the version before go on with ingot.add_events() and ingot.add_transitions().
SET LOCAL ROLE ingot_owner;

-- The ids of the events that were stored, ascending; the others were there
-- before. A single NULL: all were stored. The arrays ascend by id.
CREATE FUNCTION ingot.insert_events(
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

-- The keys of the transitions that were stored, ascending; the others have lost.
-- A single row of NULLs: all were stored. The arrays ascend by key.
CREATE FUNCTION ingot.insert_transitions(
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
-- As before, with a plan of its own for many events.
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
  -- To plan anew costs as much as to choose the segment of some hundred events one by one.
  IF cardinality(ids) >= 100 THEN
    PERFORM set_config('plan_cache_mode', 'force_custom_plan', true);
  END IF;
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

-- What destinations are sent: events with the jobs that were added to them, in the
-- first columns of ingot.event_row, without anything of their chains. The ids are
-- ascending and distinct; unknown ones give no rows. One index scan for all of them,
-- for to choose the segment of each alone costs as much as to read it.
CREATE FUNCTION ingot.events_to_deliver(ids bytea[])
RETURNS TABLE (
  event_id bytea, job int, id bytea, first_text text, second_text text, context json, data json,
  jobs json, parent_job_id bytea, first_time timestamptz, second_time timestamptz,
  created_at timestamptz, retired_at timestamptz)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB'
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET max_parallel_workers_per_gather = 0 SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  first CONSTANT bytea := ids[1]; -- so that segments beside them are not even opened
  last  CONSTANT bytea := ids[cardinality(ids)];
BEGIN
  IF NOT EXISTS (SELECT FROM ingot.added_jobs WHERE event_id BETWEEN first AND last) THEN
    RETURN QUERY
    SELECT id, -1, NULL::bytea, source, name, context, data, jobs, NULL::bytea, sent_at,
           received_at, ingested_at, NULL::timestamptz
    FROM ingot.events WHERE id = ANY (ids) AND id BETWEEN first AND last
    ORDER BY id;
    RETURN;
  END IF;
  RETURN QUERY
  SELECT id AS event_id, -1 AS job, NULL::bytea, source, name, context, data, jobs, NULL::bytea,
         sent_at, received_at, ingested_at, NULL::timestamptz
  FROM ingot.events WHERE id = ANY (ids) AND id BETWEEN first AND last
  UNION ALL
  SELECT event_id, job, id, destination, event, context, data, NULL, parent_job_id, due_at, NULL,
         created_at, NULL
  FROM ingot.added_jobs WHERE event_id = ANY (ids) AND event_id BETWEEN first AND last
  ORDER BY event_id, job;
END
$$;

-- ---- following -------------------------------------------------------------
-- As before, without what the transactions "known" wrote: the caller's own, of which
-- it needs not be told.
CREATE FUNCTION ingot.follow(
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

-- For processes that do not know of that yet.
CREATE OR REPLACE FUNCTION ingot.follow(after pg_snapshot, after_epoch int, after_system bigint)
RETURNS TABLE (
  kind int, event_id bytea, job int, id bytea, destination text, event text, jobs json,
  parent_job_id bytea, due_at timestamptz, created_at timestamptz, xid xid8,
  snapshot text, epoch int, system bigint, started_at timestamptz, in_recovery boolean,
  is_ours boolean)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT * FROM ingot.follow(after, after_epoch, after_system, '{}')
$$;

GRANT EXECUTE ON FUNCTION ingot.events_to_deliver(bytea[]),
  ingot.follow(pg_snapshot, int, bigint, bigint[]) TO ingot_reader;
RESET ROLE;
