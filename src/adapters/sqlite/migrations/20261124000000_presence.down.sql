DROP TRIGGER events_order;
CREATE TRIGGER events_order BEFORE INSERT ON events
  WHEN NEW.n IS NOT 1 + max(coalesce((SELECT max(n) FROM events), 0), coalesce((SELECT max(n) FROM added_jobs), 0))
  BEGIN SELECT RAISE(ABORT, 'ingot: n must follow the last one'); END;
DROP TRIGGER added_jobs_order;
CREATE TRIGGER added_jobs_order BEFORE INSERT ON added_jobs
  WHEN NEW.n IS NOT 1 + max(coalesce((SELECT max(n) FROM events), 0), coalesce((SELECT max(n) FROM added_jobs), 0))
  BEGIN SELECT RAISE(ABORT, 'ingot: n must follow the last one'); END;
DROP TABLE lives;
DROP TABLE checkpoints;
DROP TABLE notices;
