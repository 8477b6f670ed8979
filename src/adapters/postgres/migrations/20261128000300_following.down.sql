-- The functions as they were before, and an entry in events_xid for each event. Notices of
-- births stay, as all rows do.
SET LOCAL ROLE ingot_owner;
DROP FUNCTION ingot.follow(pg_snapshot, int, bigint, bigint, timestamptz, bigint[]);
REVOKE EXECUTE ON FUNCTION ingot.ksuid_second(timestamptz) FROM ingot_reader;

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
  next  CONSTANT bigint := pg_snapshot_xmax(after)::text::bigint;
  first xid8[]; -- of the ranges of transactions to be told of
  last  xid8[];
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
  SELECT array_agg(r.first::text::xid8), array_agg(r.last::text::xid8) INTO first, last
  FROM (
    SELECT x AS first, x AS last
    FROM (SELECT pg_snapshot_xip(after)::text::bigint AS x) AS unfinished WHERE x <> ALL (known)
    UNION ALL
    SELECT coalesce(lag(k) OVER (ORDER BY k) + 1, next), k - 1
    FROM (SELECT DISTINCT unnest(known || pg_snapshot_xmax(snapshot::pg_snapshot)::text::bigint) AS k
         ) AS ends
    WHERE k >= next
  ) AS r
  WHERE r.first <= r.last;
  IF first IS NULL THEN
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
    OFFSET 0) AS e;
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

CREATE OR REPLACE FUNCTION ingot.make_segments() RETURNS int
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $$
DECLARE
  segment record;
  made    int := 0;
BEGIN
  FOR segment IN
    SELECT parent, name, bounds.*
    FROM generate_series(-7, 8) AS ahead,
         LATERAL (SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date + ahead AS day) AS days,
         (VALUES ('events', true), ('added_jobs', true), ('transitions', true),
                 ('retirements', true), ('notices', false), ('heartbeats', false),
                 ('checkpoints', false)) AS parents (parent, by_id),
         LATERAL (SELECT parent || to_char(day, '_YYYYMMDD') AS name) AS names,
         LATERAL (SELECT ingot.segment_bound(day, by_id) AS first,
                         ingot.segment_bound(day + 1, by_id) AS behind) AS bounds
    WHERE to_regclass('ingot.' || name) IS NULL
  LOOP
    LOCK TABLE ONLY ingot.events IN SHARE UPDATE EXCLUSIVE MODE;
    CONTINUE WHEN to_regclass('ingot.' || segment.name) IS NOT NULL;
    EXECUTE format('CREATE TABLE ingot.%I
                      (LIKE ingot.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)',
                   segment.name, segment.parent);
    EXECUTE format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON ingot.%I
                      FOR EACH STATEMENT EXECUTE FUNCTION ingot.refuse_change()', segment.name);
    EXECUTE format('ALTER TABLE ingot.%I ATTACH PARTITION ingot.%I FOR VALUES FROM (%L) TO (%L)',
                   segment.parent, segment.name, segment.first, segment.behind);
    made := made + 1;
  END LOOP;
  RETURN made;
END
$$;

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
      FROM (SELECT unnest(ids) AS id, unnest(sources) AS source, unnest(names) AS name,
                   unnest(contexts) AS context, unnest(datas) AS data, unnest(jobs) AS jobs,
                   unnest(sent) AS sent_at, unnest(received) AS received_at) AS g;
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

CREATE OR REPLACE FUNCTION ingot.add_jobs(
  event_ids bytea[], numbers int[], ids bytea[], destinations text[], events text[],
  contexts json[], datas json[], parent_job_ids bytea[], dues timestamptz[])
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' SET jit = off SET work_mem = '64MB'
AS $$
BEGIN
  INSERT INTO ingot.added_jobs
    (event_id, job, id, destination, event, context, data, parent_job_id, due_at)
  SELECT g.*
  FROM unnest(event_ids, numbers, ids, destinations, events, contexts, datas, parent_job_ids, dues)
       AS g (event_id, number, id, destination, event, context, data, parent_job_id, due_at)
  ORDER BY g.event_id, g.number;
END
$$;

ALTER TABLE ingot.notices DROP CONSTRAINT notices_seq_check;
ALTER TABLE ingot.notices
  ADD CONSTRAINT notices_seq_check CHECK (seq BETWEEN 1 AND 65535) NOT VALID;
DROP INDEX ingot.events_xid;
ALTER TABLE ingot.events DROP COLUMN batch;
CREATE INDEX events_xid ON ingot.events (epoch, xid);
RESET ROLE;
