-- Holds back all jobs until some time. A longer hold that is in force stays, unless the clock was set back since.
--
-- ?1 until  ?2 the latest time that a hold could have been set to

UPDATE queue_gate SET held_until = ?1
WHERE held_until < ?1 OR held_until > ?2
