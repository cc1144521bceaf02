-- Moves a checkpoint and writes the counters that its events have changed, in the transaction of the call: a worker with a
-- few events makes it its only statement, which is one round trip instead of four.
--
-- The checkpoint first: whoever comes second waits there, finds another revision, and has written nothing. Null is
-- returned then, and otherwise the new revision. Each statement has a snapshot of its own, and takes the locks in the
-- order in which a transaction of single statements does.
--
-- Of the counters the first `existing` ones have rows, and the others have none.
CREATE FUNCTION evenfold.commit_counters(
    of_projection text, of_modulus bigint, of_residue bigint, of_revision bigint,
    new_seen text, new_floor bigint, new_next_xid text, new_missing bigint[], new_owner uuid,
    existing bigint, types text[], ids text[], counts bigint[], sums bigint[], versions bigint[], positions bigint[]
)
    RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moved bigint;
    written bigint;
BEGIN
    UPDATE evenfold.checkpoints c
    SET seen = new_seen::pg_snapshot, floor = new_floor, next_xid = new_next_xid::xid8, missing = new_missing,
        upto = NULL, upto_floor = NULL, upto_next_xid = NULL, upto_missing = NULL, cursor = NULL,
        owner = new_owner, moved_at = now(), revision = nextval('evenfold.checkpoint_revisions')
    WHERE c.projection = of_projection AND c.modulus = of_modulus AND c.residue = of_residue AND c.revision = of_revision
    RETURNING c.revision INTO moved;
    IF moved IS NULL THEN
        RETURN NULL;
    END IF;
    IF existing > 0 THEN
        -- OFFSET 0 keeps the planner from joining, as everywhere that an array is looked up.
        UPDATE evenfold.counters c
        SET events = k.events, value = k.value, version = k.version, last_position = k.last_position
        FROM (SELECT r.ctid AS place, k.*
              FROM unnest(types[:existing], ids[:existing], counts[:existing], sums[:existing], versions[:existing],
                          positions[:existing]) AS k (aggregate_type, aggregate_id, events, value, version, last_position)
              CROSS JOIN LATERAL (SELECT ctid FROM evenfold.counters
                                  WHERE aggregate_type = k.aggregate_type AND aggregate_id = k.aggregate_id OFFSET 0) r
              OFFSET 0) k
        WHERE c.ctid = k.place;
        GET DIAGNOSTICS written = ROW_COUNT;
        IF written <> existing THEN
            RAISE EXCEPTION '% counters that this worker has read or written are not in the table any more: who removes '
                'rows from it must stop the workers first, and start over or rebuild', existing - written;
        END IF;
    END IF;
    IF existing < cardinality(types) THEN
        INSERT INTO evenfold.counters (aggregate_type, aggregate_id, events, value, version, last_position)
        SELECT * FROM unnest(types[existing + 1:], ids[existing + 1:], counts[existing + 1:], sums[existing + 1:],
                             versions[existing + 1:], positions[existing + 1:])
        ON CONFLICT (aggregate_type, aggregate_id) DO UPDATE SET events = excluded.events,
            value = excluded.value, version = excluded.version, last_position = excluded.last_position;
    END IF;
    RETURN moved;
END
$$;
