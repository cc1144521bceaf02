-- Where a rebuild makes the counters anew, beside those that are in use.
CREATE TABLE counters_rebuild (LIKE counters INCLUDING ALL) WITH (fillfactor = 70);
