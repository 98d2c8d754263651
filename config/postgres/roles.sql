-- Roles for a shared ledger. Run as the owner of the database, after the tables are made (by `rds-retentiond freeze` and `thaw`, for example).
-- Logins: CREATE ROLE name LOGIN PASSWORD '…' IN ROLE retention_daemon;

CREATE ROLE retention_daemon NOLOGIN;   -- run, apply
CREATE ROLE retention_people NOLOGIN;   -- hold, release, freeze, thaw, approve, and all that reads
CREATE ROLE retention_auditor NOLOGIN;  -- reads

GRANT USAGE ON SCHEMA public TO retention_daemon, retention_people, retention_auditor;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO retention_auditor, retention_people;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO retention_daemon;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO retention_daemon, retention_people;
GRANT INSERT ON chain TO retention_people;
GRANT UPDATE ON meta, grace TO retention_people;
GRANT INSERT, UPDATE, DELETE ON hold, "freeze", approval, listing_approval, key_refusal TO retention_people;
