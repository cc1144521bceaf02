-- A payload and its metadata have 1 MiB each at most, whoever writes them: what is larger takes the memory of everybody who
-- reads it. The rows that are there already stay as they are (NOT VALID).
--
-- The size that is at hand says it for a value of up to 4,096 bytes, also for one that comes compressed from another table:
-- nothing is compressed to less than a 255th. What is larger is measured as a text.
-- `evenfold repair` gives every row the transaction id 3, and must be able to rewrite rows that are too large already. No
-- writer can give it.
ALTER TABLE events ADD CONSTRAINT events_payload_check CHECK (
    (pg_column_size(payload) <= 4096 OR xid = '3' OR octet_length(payload::text) <= 1048576)
    AND (metadata IS NULL OR pg_column_size(metadata) <= 4096 OR xid = '3' OR octet_length(metadata::text) <= 1048576)
) NOT VALID;
