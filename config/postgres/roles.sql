-- Roles for a shared ledger. Run as a superuser (it creates roles and grants pg_monitor), after the tables are made (by `rds-retentiond freeze` and `thaw`, for example),
-- and again after an upgrade that changes the tables.
-- With psql, which stops at the first error: psql -v ON_ERROR_STOP=1 -U postgres -d retention -f roles.sql
-- Logins: CREATE ROLE name LOGIN PASSWORD '…' IN ROLE retention_daemon;
\set ON_ERROR_STOP on

DO $$ DECLARE name TEXT; BEGIN
    -- daemon: run, apply. people: hold, release, freeze, thaw, approve, and all that reads. auditor: reads.
    FOREACH name IN ARRAY ARRAY['retention_daemon', 'retention_people', 'retention_auditor'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = name) THEN EXECUTE format('CREATE ROLE %I NOLOGIN', name); END IF;
    END LOOP;
END $$;

GRANT USAGE ON SCHEMA public TO retention_daemon, retention_people, retention_auditor;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO retention_auditor, retention_people;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO retention_daemon;
GRANT INSERT ON chain TO retention_people;
GRANT UPDATE ON meta, grace TO retention_people;
GRANT INSERT, UPDATE, DELETE ON hold, "freeze", approval, refused, listing_doubt, first_seen, configured_hold, key_refusal, key_trial
    TO retention_people;
-- So that `check` sees whether a synchronous standby follows.
GRANT pg_monitor TO retention_daemon;
