DECLARE
    one record;
    event_number bigint;
    code text;
    why text;
BEGIN
    FOR one IN
        SELECT min(number) AS first, max(number) AS last FROM pg_temp.evenfold_numbered
        GROUP BY aggregate_type, aggregate_id ORDER BY 1
    LOOP
        PERFORM set_config('evenfold.first', one.first::text, true), set_config('evenfold.last', one.last::text, true);
        BEGIN
            {run}
            CONTINUE;
        EXCEPTION WHEN OTHERS OR assert_failure THEN
            code := SQLSTATE;
            IF NOT code SIMILAR TO {of_events} THEN
                RAISE;
            END IF;
        END;
        FOR event_number IN one.first .. one.last LOOP
            PERFORM set_config('evenfold.first', event_number::text, true),
                set_config('evenfold.last', event_number::text, true);
            BEGIN
                {run}
            EXCEPTION WHEN OTHERS OR assert_failure THEN
                code := SQLSTATE;
                why := SQLERRM;
                IF NOT code SIMILAR TO {of_events} THEN
                    RAISE;
                END IF;
                INSERT INTO pg_temp.evenfold_refused
                    SELECT position, why FROM pg_temp.evenfold_numbered WHERE number = event_number;
                EXIT;
            END;
        END LOOP;
    END LOOP;
END
