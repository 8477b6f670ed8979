DROP VIEW job_states;
DROP VIEW history;
DROP VIEW jobs;
DROP TABLE routes;
DROP TABLE retirements;
DROP TABLE transitions;
DROP TABLE added_jobs;
DROP TABLE events;
