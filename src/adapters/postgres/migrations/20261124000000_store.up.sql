-- The store: rows are inserted, and nothing else. PROTOCOL and DESIGN say why
-- each table looks as it does. Ids are the 20 bytes of a KSUID, states are the
-- numbers of enum ingot_state.

-- Roles belong to the whole server: another database's migration may have made
-- them, or be about to.
DO $$
DECLARE
  wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['ingot_owner', 'ingot_writer', 'ingot_reader'] LOOP
    IF to_regrole(wanted) IS NULL THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;
      END;
    END IF;
  END LOOP;
  IF NOT pg_has_role(current_user, 'ingot_owner', 'USAGE') THEN
    GRANT ingot_owner TO CURRENT_USER;
  END IF;
END
$$;
ALTER SCHEMA ingot OWNER TO ingot_owner;
ALTER TABLE ingot.migrations OWNER TO ingot_owner;
SET LOCAL ROLE ingot_owner;
-- What a schema's default privileges take away from everybody comes back from
-- those of the database, so it is taken away there.
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA ingot GRANT EXECUTE ON FUNCTIONS TO ingot_writer;

-- One life of the store's xids after another (PROTOCOL 3.4). The newest is the
-- default of the columns epoch.
CREATE TABLE ingot.epochs (
  epoch             int         NOT NULL PRIMARY KEY,
  system_identifier bigint      NOT NULL,
  created_at        timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO ingot.epochs (epoch, system_identifier)
  SELECT 1, system_identifier FROM pg_control_system();

CREATE TABLE ingot.events (
  id          bytea       NOT NULL PRIMARY KEY CHECK (octet_length(id) = 20),
  source      text        NOT NULL,
  name        text        NOT NULL,
  context     json,
  data        json,
  jobs        json        NOT NULL,
  sent_at     timestamptz,
  received_at timestamptz NOT NULL,
  ingested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  epoch       int         NOT NULL DEFAULT 1,
  xid         xid8        NOT NULL DEFAULT pg_current_xact_id()
) PARTITION BY RANGE (id);
CREATE INDEX events_xid ON ingot.events (epoch, xid);

CREATE TABLE ingot.added_jobs (
  event_id      bytea       NOT NULL CHECK (octet_length(event_id) = 20),
  job           int         NOT NULL CHECK (job BETWEEN 0 AND 65535),
  id            bytea       NOT NULL CHECK (octet_length(id) = 20),
  destination   text        NOT NULL,
  event         text        NOT NULL,
  context       json,
  data          json,
  parent_job_id bytea       CHECK (octet_length(parent_job_id) = 20),
  due_at        timestamptz,
  created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  epoch         int         NOT NULL DEFAULT 1,
  xid           xid8        NOT NULL DEFAULT pg_current_xact_id(),
  PRIMARY KEY (event_id, job),
  UNIQUE (event_id, id)
) PARTITION BY RANGE (event_id);
CREATE INDEX added_jobs_xid ON ingot.added_jobs (epoch, xid);
-- At most two for one destination: the wildcard and the specific one.
CREATE UNIQUE INDEX added_jobs_slot ON ingot.added_jobs (event_id, destination, (event = '*'))
  WHERE parent_job_id IS NULL;

-- To insert the next number is to claim, and this key is the only lock.
CREATE TABLE ingot.transitions (
  event_id     bytea       NOT NULL CHECK (octet_length(event_id) = 20),
  job          int         NOT NULL CHECK (job BETWEEN 0 AND 65535),
  seq          int         NOT NULL CHECK (seq BETWEEN 1 AND 65535),
  attempt      int         NOT NULL CHECK (attempt BETWEEN 0 AND 65535),
  state_before smallint    NOT NULL CHECK (state_before BETWEEN 1 AND 6),
  state_after  smallint    NOT NULL CHECK (state_after BETWEEN 1 AND 6),
  owner        bytea       CHECK (octet_length(owner) = 20),
  due_at       timestamptz,
  error        json,
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (event_id, job, seq)
) PARTITION BY RANGE (event_id);
CREATE INDEX transitions_discarded ON ingot.transitions (event_id, job) WHERE state_after = 6;

CREATE TABLE ingot.retirements (
  event_id   bytea       NOT NULL PRIMARY KEY CHECK (octet_length(event_id) = 20),
  actor      text        NOT NULL,
  reason     text        NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
) PARTITION BY RANGE (event_id);

-- Somebody who does not work a job's lane wrote its transition seq.
CREATE TABLE ingot.notices (
  event_id   bytea       NOT NULL CHECK (octet_length(event_id) = 20),
  job        int         NOT NULL CHECK (job BETWEEN 0 AND 65535),
  seq        int         NOT NULL CHECK (seq BETWEEN 1 AND 65535),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  epoch      int         NOT NULL DEFAULT 1,
  xid        xid8        NOT NULL DEFAULT pg_current_xact_id()
) PARTITION BY RANGE (created_at);
CREATE INDEX notices_xid ON ingot.notices (epoch, xid);

-- lanes: a bit for each lane worked; NULL: none, or not any more.
CREATE TABLE ingot.heartbeats (
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  scheduler  bytea       NOT NULL CHECK (octet_length(scheduler) = 20),
  n          int         NOT NULL,
  lanes      bytea       CHECK (octet_length(lanes) = 32),
  about      json        NOT NULL,
  PRIMARY KEY (created_at, scheduler, n)
) PARTITION BY RANGE (created_at);

-- The live jobs of a lane in parts; it counts when there are as many as parts says.
CREATE TABLE ingot.checkpoints (
  taken_at timestamptz NOT NULL,
  lane     int         NOT NULL CHECK (lane BETWEEN 0 AND 255),
  part     int         NOT NULL CHECK (part >= 0),
  parts    int         NOT NULL CHECK (parts > part),
  cursor   text        NOT NULL,
  body     bytea       NOT NULL,
  PRIMARY KEY (taken_at, lane, part)
) PARTITION BY RANGE (taken_at);
CREATE INDEX checkpoints_lane ON ingot.checkpoints (lane, taken_at);

CREATE TABLE ingot.routes (
  version    bigint      NOT NULL PRIMARY KEY,
  body       json        NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Nothing is ever changed, also not by the owner. The parents' row triggers are
-- cloned to what is attached; TRUNCATE needs a trigger on each segment as well.
CREATE FUNCTION ingot.refuse_change() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
  RAISE EXCEPTION 'ingot: rows are never changed or removed, % of %.% is refused',
    TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;

DO $$
DECLARE
  relation regclass;
BEGIN
  FOR relation IN
    SELECT oid FROM pg_class WHERE relnamespace = 'ingot'::regnamespace AND relkind IN ('r', 'p')
  LOOP
    EXECUTE format('CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON %s
                      FOR EACH ROW EXECUTE FUNCTION ingot.refuse_change()', relation);
    EXECUTE format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON %s
                      FOR EACH STATEMENT EXECUTE FUNCTION ingot.refuse_change()', relation);
  END LOOP;
END
$$;

-- Where the segment of a day begins: at a KSUID's seconds of its midnight UTC,
-- or at that midnight.
CREATE FUNCTION ingot.segment_bound(day date, by_id boolean) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE WHEN by_id
    THEN '\x' || lpad(to_hex((day - DATE '1970-01-01') * 86400::bigint - 1400000000), 8, '0')
    ELSE to_char(day, 'YYYY-MM-DD') || ' 00:00:00+00' END
$$;

-- Makes the daily segments that are missing, from the admission of ids back to
-- eight days ahead, and returns how many they were. Neither LIKE nor ATTACH
-- conflicts with who reads or inserts, where PARTITION OF would wait for them.
-- Of several callers one makes them and the others wait for it.
CREATE FUNCTION ingot.make_segments() RETURNS int
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

-- After a restore, a dump or a logical copy the xids in the rows are of another
-- life: begins the next one. For the owner, while nobody else is at work.
CREATE FUNCTION ingot.accept_restore() RETURNS int
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  next_epoch int;
  parent     text;
BEGIN
  LOCK TABLE ingot.epochs IN SHARE ROW EXCLUSIVE MODE;
  INSERT INTO ingot.epochs (epoch, system_identifier)
    SELECT (SELECT max(epoch) + 1 FROM ingot.epochs), system_identifier FROM pg_control_system()
    RETURNING epoch INTO next_epoch;
  FOREACH parent IN ARRAY ARRAY['events', 'added_jobs', 'notices'] LOOP
    EXECUTE format('ALTER TABLE ONLY ingot.%I ALTER COLUMN epoch SET DEFAULT %s',
                   parent, next_epoch);
  END LOOP;
  RETURN next_epoch;
END
$$;

-- 27 digits of base 62, from the lowest up, nine at a time: so many fit a bigint.
CREATE FUNCTION ingot.ksuid_text(id bytea) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  digits CONSTANT text := '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
  nine   CONSTANT numeric := 13537086546263552; -- 62^9
  bits   bit(160);
  rest   numeric;
  low    bigint;
  result text := '';
BEGIN
  IF octet_length(id) <> 20 THEN
    RAISE EXCEPTION 'ingot: a KSUID has 20 bytes, this has %', octet_length(id)
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  bits := ('x' || encode(id, 'hex'))::bit(160);
  rest := substring(bits FROM 1 FOR 32)::bigint;
  FOR word IN 1..4 LOOP
    rest := rest * 4294967296 + substring(bits FROM word * 32 + 1 FOR 32)::bigint;
  END LOOP;
  FOR third IN 1..3 LOOP
    low := mod(rest, nine);
    rest := div(rest, nine);
    FOR digit IN 1..9 LOOP
      result := substr(digits, (low % 62)::int + 1, 1) || result;
      low := low / 62;
    END LOOP;
  END LOOP;
  RETURN result;
END
$$;

-- What is wrong with the text of a KSUID; its digits are in the order of ASCII.
CREATE FUNCTION ingot.ksuid_problem(id text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE
    WHEN length(id) <> 27 THEN format('a KSUID has 27 characters, this has %s', length(id))
    WHEN id !~ '^[0-9A-Za-z]*$' THEN 'a KSUID has only 0-9, A-Z and a-z'
    WHEN id COLLATE "C" > 'aWgEPTl1tmebfsQzFP4bxwgy80V'
      THEN 'a KSUID is at most aWgEPTl1tmebfsQzFP4bxwgy80V, this is beyond it' END
$$;

CREATE FUNCTION ingot.ksuid_parse(id text) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  digits CONSTANT text := '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
  nine   CONSTANT numeric := 13537086546263552; -- 62^9
  number numeric := 0;
  part   bigint;
  result bytea := '';
BEGIN
  IF ingot.ksuid_problem(id) IS NOT NULL THEN
    RAISE EXCEPTION 'ingot: %', ingot.ksuid_problem(id) USING ERRCODE = 'invalid_parameter_value';
  END IF;
  FOR third IN 0..2 LOOP
    part := 0;
    FOR digit IN 1..9 LOOP
      part := part * 62 + strpos(digits, substr(id, third * 9 + digit, 1)) - 1;
    END LOOP;
    number := number * nine + part;
  END LOOP;
  FOR word IN 1..5 LOOP
    result := substring(int8send(mod(number, 4294967296)::bigint) FROM 5) || result;
    number := div(number, 4294967296);
  END LOOP;
  RETURN result;
END
$$;

CREATE FUNCTION ingot.state_text(state int) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT (ARRAY['acknowledged', 'awaiting', 'executing', 'succeeded', 'failed', 'discarded'])[state]
$$;

-- Microseconds since 1970; by whole seconds and what is left, for both are exact.
CREATE FUNCTION ingot.time_of(us bigint) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT to_timestamp(us / 1000000) + us % 1000000 * interval '1 microsecond'
$$;

-- The id of a transition is made, not stored (docs/decisions/0002).
CREATE FUNCTION ingot.transition_id(event_id bytea, job int, seq int, at timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT ingot.ksuid_text(
    substring(int8send(least(greatest(floor(extract(epoch FROM at))::bigint - 1400000000, 0),
                             4294967295)) FROM 5)
    || substring(event_id FROM 5 FOR 12)
    || substring(int4send(job) FROM 3) || substring(int4send(seq) FROM 3))
$$;

-- For people: ids as text, born jobs as rows, the birth as a transition, the
-- present state.
CREATE VIEW ingot.jobs AS
  SELECT ingot.ksuid_text(e.id) AS event_id, (b.number - 1)::int AS job, b.job ->> 'id' AS id,
         b.job ->> 'destination' AS destination, b.job ->> 'event' AS event,
         e.source AS source, e.name AS name,
         coalesce(b.job -> 'context', e.context) AS context,
         coalesce(b.job -> 'data', e.data) AS data,
         b.job ->> 'parent_job_id' AS parent_job_id,
         e.ingested_at AS created_at
  FROM ingot.events e, json_array_elements(e.jobs) WITH ORDINALITY AS b (job, number)
  UNION ALL
  SELECT ingot.ksuid_text(a.event_id), a.job, ingot.ksuid_text(a.id), a.destination, a.event,
         e.source, e.name, coalesce(a.context, e.context), coalesce(a.data, e.data),
         ingot.ksuid_text(a.parent_job_id), a.created_at
  FROM ingot.added_jobs a JOIN ingot.events e ON e.id = a.event_id;

CREATE VIEW ingot.history AS
  SELECT ingot.transition_id(h.event_id, h.job, h.seq, h.created_at) AS id,
         ingot.ksuid_text(h.event_id) AS event_id, h.job AS job, h.seq AS seq, h.attempt AS attempt,
         ingot.state_text(h.state_before) AS state_before,
         ingot.state_text(h.state_after) AS state_after,
         ingot.ksuid_text(h.owner) AS owner, h.due_at AS due_at, h.error AS error,
         h.created_at AS created_at
  FROM (
    SELECT e.id AS event_id, (b.number - 1)::int AS job, 0 AS seq, 0 AS attempt,
           NULL::int AS state_before,
           CASE WHEN b.job ->> 'due_at' IS NULL THEN 1 ELSE 2 END AS state_after,
           NULL::bytea AS owner, ingot.time_of((b.job ->> 'due_at')::bigint) AS due_at,
           NULL::json AS error, e.ingested_at AS created_at
    FROM ingot.events e, json_array_elements(e.jobs) WITH ORDINALITY AS b (job, number)
    UNION ALL
    SELECT event_id, job, 0, 0, NULL, CASE WHEN due_at IS NULL THEN 1 ELSE 2 END,
           NULL, due_at, NULL, created_at
    FROM ingot.added_jobs
    UNION ALL
    SELECT event_id, job, seq, attempt, state_before, state_after, owner, due_at, error, created_at
    FROM ingot.transitions
  ) h;

CREATE VIEW ingot.job_states AS
  SELECT ingot.ksuid_text(j.event_id) AS event_id, j.job AS job, j.destination AS destination,
         j.event AS event,
         ingot.state_text(coalesce(t.state_after, CASE WHEN j.due_at IS NULL THEN 1 ELSE 2 END))
           AS state,
         coalesce(t.attempt, 0) AS attempt, coalesce(t.seq, 0) AS seq,
         CASE WHEN t.seq IS NULL THEN j.due_at ELSE t.due_at END AS due_at,
         t.error AS error, coalesce(t.created_at, j.created_at) AS since
  FROM (
    SELECT e.id AS event_id, (b.number - 1)::int AS job, b.job ->> 'destination' AS destination,
           b.job ->> 'event' AS event, ingot.time_of((b.job ->> 'due_at')::bigint) AS due_at,
           e.ingested_at AS created_at
    FROM ingot.events e, json_array_elements(e.jobs) WITH ORDINALITY AS b (job, number)
    UNION ALL
    SELECT event_id, job, destination, event, due_at, created_at FROM ingot.added_jobs
  ) j
  LEFT JOIN LATERAL (
    SELECT * FROM ingot.transitions l
    WHERE l.event_id = j.event_id AND l.job = j.job ORDER BY l.seq DESC LIMIT 1
  ) t ON true;

-- What Ingot or the database sets, nobody else can: created_at, ingested_at,
-- epoch and xid have their defaults.
GRANT USAGE ON SCHEMA ingot TO ingot_writer, ingot_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA ingot TO ingot_writer, ingot_reader;
GRANT INSERT (id, source, name, context, data, jobs, sent_at, received_at)
  ON ingot.events TO ingot_writer;
GRANT INSERT (event_id, job, id, destination, event, context, data, parent_job_id, due_at)
  ON ingot.added_jobs TO ingot_writer;
GRANT INSERT (event_id, job, seq, attempt, state_before, state_after, owner, due_at, error)
  ON ingot.transitions TO ingot_writer;
GRANT INSERT (event_id, actor, reason) ON ingot.retirements TO ingot_writer;
GRANT INSERT (event_id, job, seq) ON ingot.notices TO ingot_writer;
GRANT INSERT (scheduler, n, lanes, about) ON ingot.heartbeats TO ingot_writer;
GRANT INSERT (taken_at, lane, part, parts, cursor, body) ON ingot.checkpoints TO ingot_writer;
GRANT INSERT (version, body) ON ingot.routes TO ingot_writer;
GRANT EXECUTE ON FUNCTION ingot.ksuid_text(bytea), ingot.ksuid_problem(text),
  ingot.ksuid_parse(text), ingot.state_text(int), ingot.time_of(bigint),
  ingot.transition_id(bytea, int, int, timestamptz) TO ingot_reader;
REVOKE EXECUTE ON FUNCTION ingot.accept_restore() FROM ingot_writer;

SELECT ingot.make_segments();
RESET ROLE;
