-- Puts a job at the end of the line, unless there is one with its id, in whatever state.
--
-- ?1 id  ?2 data  ?3 max_attempts  ?4 now

INSERT INTO jobs (id, data, max_attempts, created_at, queued_at)
VALUES (?1, ?2, ?3, ?4, ?4)
ON CONFLICT (id) DO NOTHING
