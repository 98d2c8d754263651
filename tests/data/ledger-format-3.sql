-- A ledger as the program of format 3 left it: deletions, a grace period, a refused plan and its approval, a released hold, a hold, a freeze.
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES('created_at','2026-11-28T16:36:36.878873Z');
INSERT INTO meta VALUES('head','88992077cca33a8ebdaaeff718ed8fd8aeddc3edc378f740698b982ce86ed298');
INSERT INTO meta VALUES('probes','0');
INSERT INTO meta VALUES('rows','13');
CREATE TABLE chain (
    seq INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
    prev TEXT NOT NULL, hash TEXT NOT NULL
) STRICT;
INSERT INTO chain VALUES(1,'2026-11-28T16:36:36.878873Z','created','{"program":"rds-retentiond"}','0000000000000000000000000000000000000000000000000000000000000000','e07eca554f9defd9367e732d277e7199d46edb3a008c5befd0b8b7abc14139ae');
INSERT INTO chain VALUES(2,'2026-11-28T16:36:36.895791Z','run_begun','{"run":"01a22304-099f-7170-80a6-b89d39a34a09","cause":"apply","config_sha256":"6077a41d24bd863424d6abb5714f78e12122dc8c4114aeac92c24d67b13f5d6e","policies":{"later":"enforce","now":"enforce","refused":"enforce"}}','e07eca554f9defd9367e732d277e7199d46edb3a008c5befd0b8b7abc14139ae','b93de56710f2130c411614bbd2b7a99448c1a79d9f004fc8a1dc45d80f1103f7');
INSERT INTO chain VALUES(3,'2026-11-28T16:36:37.011443Z','intent','{"run":"01a22304-099f-7170-80a6-b89d39a34a09","attempt":1,"config_sha256":"6077a41d24bd863424d6abb5714f78e12122dc8c4114aeac92c24d67b13f5d6e","project":"simulator","instances":{"a833bdcdb6d1beb188dc97e5aab5fe3din04":{"name":"mssql-00001","listing":{"count":8,"read_at":"2026-11-28T16:36:36.952753005Z"}}},"items":[{"backup":"3d58bb03f31a4686c763de764d6fe1b0br04","name":"backup_20261126_1636","instance":"a833bdcdb6d1beb188dc97e5aab5fe3din04","policy":"now","rule":"not_kept","begin":"2026-11-26T16:36:35Z","size_bytes":1073741824,"status":"COMPLETED"},{"backup":"027a617d2237a6c9c7f4e5c44c95357abr04","name":"backup_20261126_2236","instance":"a833bdcdb6d1beb188dc97e5aab5fe3din04","policy":"now","rule":"not_kept","begin":"2026-11-26T22:36:35Z","size_bytes":1073741824,"status":"COMPLETED"}]}','b93de56710f2130c411614bbd2b7a99448c1a79d9f004fc8a1dc45d80f1103f7','df3e9e8f7fa306b8bbcc6d3b2e3dedfc90b90e0dde9db0f9469bad31ea7949ac');
INSERT INTO chain VALUES(4,'2026-11-28T16:36:37.055984Z','outcome','{"request":3,"run":"01a22304-099f-7170-80a6-b89d39a34a09","api_request_id":"2343e37228e437c9044c07f4bc7e0ce8","outcomes":[{"backup":"3d58bb03f31a4686c763de764d6fe1b0br04","outcome":"accepted"},{"backup":"027a617d2237a6c9c7f4e5c44c95357abr04","outcome":"accepted"}]}','df3e9e8f7fa306b8bbcc6d3b2e3dedfc90b90e0dde9db0f9469bad31ea7949ac','ce6dca13aa81d26c8473a168c7f15373eaa67605a21e87e16fb622e162540e93');
INSERT INTO chain VALUES(5,'2026-11-28T16:36:37.108057Z','confirmed','{"run":"01a22304-099f-7170-80a6-b89d39a34a09","backups":[{"backup":"3d58bb03f31a4686c763de764d6fe1b0br04","request":3,"was":"accepted"},{"backup":"027a617d2237a6c9c7f4e5c44c95357abr04","request":3,"was":"accepted"}]}','ce6dca13aa81d26c8473a168c7f15373eaa67605a21e87e16fb622e162540e93','feb0f3ed9ec13f5b0272c14b531f1eeb8cbba409197dd8a67c414cb10fd42aea');
INSERT INTO chain VALUES(6,'2026-11-28T16:36:37.110407Z','run_finished','{"run":"01a22304-099f-7170-80a6-b89d39a34a09","policies":[{"policy":"now","result":"success","summary":{"calls":5,"instances":{"simulator":{"failed":0,"managed":2,"overlapping":1,"unmanaged":0}},"left":0,"mode":"enforce","refused":[],"sent":{"simulator":{"codes":{},"confirmed_bytes":2147483648,"fates":{"confirmed":2}}},"summary":{"delete":{"bytes":2147483648,"count":2},"keep":{"bytes":6442450944,"count":6},"wait":{"bytes":0,"count":0}}}},{"policy":"later","result":"success","summary":{"calls":5,"instances":{"simulator":{"failed":0,"managed":2,"overlapping":1,"unmanaged":0}},"left":0,"mode":"enforce","refused":[],"sent":{},"summary":{"delete":{"bytes":0,"count":0},"keep":{"bytes":3221225472,"count":3},"wait":{"bytes":5368709120,"count":5}}}},{"policy":"refused","result":"refused","summary":{"calls":5,"instances":{"simulator":{"failed":0,"managed":2,"overlapping":1,"unmanaged":0}},"left":0,"mode":"enforce","refused":["max_deletions"],"sent":{},"summary":{"delete":{"bytes":5368709120,"count":5},"keep":{"bytes":3221225472,"count":3},"wait":{"bytes":0,"count":0}}}}]}','feb0f3ed9ec13f5b0272c14b531f1eeb8cbba409197dd8a67c414cb10fd42aea','6916e32176440c096e7084da7b64e6bae982d8c6d1c339c1d3bffd31074501d1');
INSERT INTO chain VALUES(7,'2026-11-28T16:36:45.504343Z','hold','{"number":1,"hold":{"id":"h1","target":{"backup":"08e07cb6a37910126886f4a5fbf483b6br04"},"reason":"case 4711","owner":"dba","until":"2027-07-01T00:00:00Z"},"by":"unknown"}','6916e32176440c096e7084da7b64e6bae982d8c6d1c339c1d3bffd31074501d1','eec65a6d54e68af94cfab78ca955df32c0d0c2f62344833f53c935218faebc19');
INSERT INTO chain VALUES(8,'2026-11-28T16:36:45.520907Z','hold','{"number":2,"hold":{"id":"h2","target":{"matching":{"name":"backup_202611*"}},"reason":"kept"},"by":"unknown"}','eec65a6d54e68af94cfab78ca955df32c0d0c2f62344833f53c935218faebc19','49b5350da666fae2d0990a5a100d1c262ef40501da493bbc8e15e52422f32308');
INSERT INTO chain VALUES(9,'2026-11-28T16:36:45.537242Z','release','{"number":2,"by":"unknown"}','49b5350da666fae2d0990a5a100d1c262ef40501da493bbc8e15e52422f32308','fc7689bc3b1c904bbd7e667060592c00245e9e3823cdeb3a85913aed9b5e3493');
INSERT INTO chain VALUES(10,'2026-11-28T16:36:45.555764Z','freeze','{"freeze":{"reason":"audit","until":"2027-01-01T00:00:00Z"},"by":"unknown"}','fc7689bc3b1c904bbd7e667060592c00245e9e3823cdeb3a85913aed9b5e3493','405a5487bd943918c95a9b6e1580d3a5178ac8de3c6fb23fc0572486375ce62e');
INSERT INTO chain VALUES(11,'2026-11-28T16:36:45.568833Z','approve','{"policy":"refused","backups":["17af9803f4a8c45d2106bcf787afc2b7br04","17f94033310bf0b7aebc94dc5fc59fbdbr04","804f6586d34c59f66c6680383d2b28dabr04","9f3c5fb777bc2769c50177b39030d978br04","db0a000b38482621ef6211827972b8fdbr04"],"until":"2026-11-30T16:36:45.568833680Z","by":"unknown"}','405a5487bd943918c95a9b6e1580d3a5178ac8de3c6fb23fc0572486375ce62e','ea76772ac48419a71f5426fde28f1f3b790a8b7a290fc3270fe1c7f47d55fc09');
INSERT INTO chain VALUES(12,'2026-11-28T16:36:57.702980Z','run_begun','{"run":"01a22304-5ae7-7239-948d-76630f7e3d93","cause":"apply","config_sha256":"84a078e973383f5125e600051ab49d15030015d30ca5f63a56b3678f0bf969e6","policies":{"later":"enforce","now":"enforce","refused":"enforce"}}','ea76772ac48419a71f5426fde28f1f3b790a8b7a290fc3270fe1c7f47d55fc09','73ba846fbbb4840b955259e497a67f0b276c8c647d4419178f37ded5065f655e');
INSERT INTO chain VALUES(13,'2026-11-28T16:36:57.814591Z','run_finished','{"run":"01a22304-5ae7-7239-948d-76630f7e3d93","policies":[{"policy":"now","result":"refused","summary":{"calls":3,"instances":{"simulator":{"failed":0,"managed":2,"overlapping":1,"unmanaged":0}},"left":0,"mode":"enforce","refused":["freeze"],"sent":{},"summary":{"delete":{"bytes":2147483648,"count":2},"keep":{"bytes":6442450944,"count":6},"wait":{"bytes":0,"count":0}}}},{"policy":"later","result":"success","summary":{"calls":3,"instances":{"simulator":{"failed":0,"managed":2,"overlapping":1,"unmanaged":0}},"left":0,"mode":"enforce","refused":[],"sent":{},"summary":{"delete":{"bytes":0,"count":0},"keep":{"bytes":4294967296,"count":4},"wait":{"bytes":4294967296,"count":4}}}},{"policy":"refused","result":"refused","summary":{"calls":3,"instances":{"simulator":{"failed":0,"managed":2,"overlapping":1,"unmanaged":0}},"left":0,"mode":"enforce","refused":["freeze"],"sent":{},"summary":{"delete":{"bytes":4294967296,"count":4},"keep":{"bytes":4294967296,"count":4},"wait":{"bytes":0,"count":0}}}}]}','73ba846fbbb4840b955259e497a67f0b276c8c647d4419178f37ded5065f655e','88992077cca33a8ebdaaeff718ed8fd8aeddc3edc378f740698b982ce86ed298');
CREATE TABLE run (
    id TEXT PRIMARY KEY, started_at INTEGER NOT NULL, finished_at INTEGER, cause TEXT NOT NULL,
    config_sha256 TEXT NOT NULL, begun INTEGER NOT NULL, finished INTEGER
) STRICT, WITHOUT ROWID;
INSERT INTO run VALUES('01a22304-099f-7170-80a6-b89d39a34a09',1795883796895791,1795883797110407,'apply','6077a41d24bd863424d6abb5714f78e12122dc8c4114aeac92c24d67b13f5d6e',2,6);
INSERT INTO run VALUES('01a22304-5ae7-7239-948d-76630f7e3d93',1795883817702980,1795883817814591,'apply','84a078e973383f5125e600051ab49d15030015d30ca5f63a56b3678f0bf969e6',12,13);
CREATE TABLE run_policy (
    run TEXT NOT NULL, policy TEXT NOT NULL, mode TEXT NOT NULL, started_at INTEGER NOT NULL, result TEXT,
    PRIMARY KEY (run, policy)
) STRICT, WITHOUT ROWID;
INSERT INTO run_policy VALUES('01a22304-099f-7170-80a6-b89d39a34a09','later','enforce',1795883796895791,'success');
INSERT INTO run_policy VALUES('01a22304-099f-7170-80a6-b89d39a34a09','now','enforce',1795883796895791,'success');
INSERT INTO run_policy VALUES('01a22304-099f-7170-80a6-b89d39a34a09','refused','enforce',1795883796895791,'refused');
INSERT INTO run_policy VALUES('01a22304-5ae7-7239-948d-76630f7e3d93','later','enforce',1795883817702980,'success');
INSERT INTO run_policy VALUES('01a22304-5ae7-7239-948d-76630f7e3d93','now','enforce',1795883817702980,'refused');
INSERT INTO run_policy VALUES('01a22304-5ae7-7239-948d-76630f7e3d93','refused','enforce',1795883817702980,'refused');
CREATE TABLE request (
    seq INTEGER PRIMARY KEY, run TEXT NOT NULL, attempt INTEGER NOT NULL, project TEXT NOT NULL,
    at INTEGER NOT NULL, answer INTEGER
, states TEXT NOT NULL DEFAULT '', unsettled INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO request VALUES(3,'01a22304-099f-7170-80a6-b89d39a34a09',1,'simulator',1795883797011443,4,'c5 c5',0);
CREATE TABLE hold (
    number INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, reason TEXT NOT NULL, owner TEXT,
    until INTEGER, placed_at INTEGER NOT NULL, released_at INTEGER
) STRICT;
INSERT INTO hold VALUES(1,'{"backup":"08e07cb6a37910126886f4a5fbf483b6br04"}','case 4711','dba',1814400000000000,1795883805504343,NULL);
INSERT INTO hold VALUES(2,'{"matching":{"name":"backup_202611*"}}','kept',NULL,NULL,1795883805520907,1795883805537242);
CREATE TABLE freeze (
    only INTEGER PRIMARY KEY CHECK (only = 1), reason TEXT NOT NULL, until INTEGER, placed_at INTEGER NOT NULL
) STRICT;
INSERT INTO freeze VALUES(1,'audit',1798761600000000,1795883805555764);
CREATE TABLE approval (
    policy TEXT NOT NULL, backup TEXT NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (policy, backup)
) STRICT, WITHOUT ROWID;
INSERT INTO approval VALUES('refused','17af9803f4a8c45d2106bcf787afc2b7br04',1796056605568833);
INSERT INTO approval VALUES('refused','17f94033310bf0b7aebc94dc5fc59fbdbr04',1796056605568833);
INSERT INTO approval VALUES('refused','804f6586d34c59f66c6680383d2b28dabr04',1796056605568833);
INSERT INTO approval VALUES('refused','9f3c5fb777bc2769c50177b39030d978br04',1796056605568833);
INSERT INTO approval VALUES('refused','db0a000b38482621ef6211827972b8fdbr04',1796056605568833);
CREATE TABLE listing_approval (target TEXT PRIMARY KEY, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE refused (
    policy TEXT PRIMARY KEY, run TEXT NOT NULL, limits TEXT NOT NULL, backups TEXT NOT NULL, at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO refused VALUES('refused','01a22304-099f-7170-80a6-b89d39a34a09','["max_deletions"]','["17af9803f4a8c45d2106bcf787afc2b7br04","17f94033310bf0b7aebc94dc5fc59fbdbr04","804f6586d34c59f66c6680383d2b28dabr04","9f3c5fb777bc2769c50177b39030d978br04","db0a000b38482621ef6211827972b8fdbr04"]',1795883796895791);
CREATE TABLE grace (
    policy TEXT NOT NULL, backup TEXT NOT NULL, project TEXT NOT NULL, instance TEXT NOT NULL, name TEXT NOT NULL,
    since INTEGER NOT NULL, PRIMARY KEY (policy, backup)
) STRICT, WITHOUT ROWID;
INSERT INTO grace VALUES('later','17af9803f4a8c45d2106bcf787afc2b7br04','simulator','8f05d19d593f9627abf121c3d8a5d144in04','backup_20261127_1036',1795883817702980);
INSERT INTO grace VALUES('later','804f6586d34c59f66c6680383d2b28dabr04','simulator','8f05d19d593f9627abf121c3d8a5d144in04','backup_20261127_0436',1795883817702980);
INSERT INTO grace VALUES('later','9f3c5fb777bc2769c50177b39030d978br04','simulator','8f05d19d593f9627abf121c3d8a5d144in04','backup_20261126_1636',1795883817702980);
INSERT INTO grace VALUES('later','db0a000b38482621ef6211827972b8fdbr04','simulator','8f05d19d593f9627abf121c3d8a5d144in04','backup_20261126_2236',1795883817702980);
CREATE TABLE seen_instance (
    project TEXT NOT NULL, instance TEXT NOT NULL, name TEXT NOT NULL, tags TEXT NOT NULL, enterprise_project TEXT,
    seen_at INTEGER NOT NULL, missed INTEGER NOT NULL, missed_since INTEGER, missed_last INTEGER,
    PRIMARY KEY (project, instance)
) STRICT, WITHOUT ROWID;
INSERT INTO seen_instance VALUES('simulator','8f05d19d593f9627abf121c3d8a5d144in04','mssql-00002','[]','0',1795883817702980,0,NULL,NULL);
INSERT INTO seen_instance VALUES('simulator','a833bdcdb6d1beb188dc97e5aab5fe3din04','mssql-00001','[]','0',1795883817702980,0,NULL,NULL);
CREATE TABLE seen_backup (
    instance TEXT NOT NULL, backup TEXT NOT NULL, project TEXT NOT NULL, name TEXT NOT NULL, databases TEXT,
    PRIMARY KEY (instance, backup)
) STRICT, WITHOUT ROWID;
INSERT INTO seen_backup VALUES('8f05d19d593f9627abf121c3d8a5d144in04','08e07cb6a37910126886f4a5fbf483b6br04','simulator','backup_20261128_1036','[]');
INSERT INTO seen_backup VALUES('8f05d19d593f9627abf121c3d8a5d144in04','17af9803f4a8c45d2106bcf787afc2b7br04','simulator','backup_20261127_1036','[]');
INSERT INTO seen_backup VALUES('8f05d19d593f9627abf121c3d8a5d144in04','17f94033310bf0b7aebc94dc5fc59fbdbr04','simulator','backup_20261127_1636','[]');
INSERT INTO seen_backup VALUES('8f05d19d593f9627abf121c3d8a5d144in04','2c64d7a5a0796e7d85d74998c4789f5cbr04','simulator','backup_20261128_0436','[]');
INSERT INTO seen_backup VALUES('8f05d19d593f9627abf121c3d8a5d144in04','7b327c3bb9f383a4e20a38b9304bac7cbr04','simulator','backup_20261127_2236','[]');
INSERT INTO seen_backup VALUES('8f05d19d593f9627abf121c3d8a5d144in04','804f6586d34c59f66c6680383d2b28dabr04','simulator','backup_20261127_0436','[]');
INSERT INTO seen_backup VALUES('8f05d19d593f9627abf121c3d8a5d144in04','9f3c5fb777bc2769c50177b39030d978br04','simulator','backup_20261126_1636','[]');
INSERT INTO seen_backup VALUES('8f05d19d593f9627abf121c3d8a5d144in04','db0a000b38482621ef6211827972b8fdbr04','simulator','backup_20261126_2236','[]');
INSERT INTO seen_backup VALUES('a833bdcdb6d1beb188dc97e5aab5fe3din04','015b4857625a9156dd3e252b8cf7b561br04','simulator','backup_20261127_2236','[]');
INSERT INTO seen_backup VALUES('a833bdcdb6d1beb188dc97e5aab5fe3din04','027a617d2237a6c9c7f4e5c44c95357abr04','simulator','backup_20261126_2236','[]');
INSERT INTO seen_backup VALUES('a833bdcdb6d1beb188dc97e5aab5fe3din04','104a64fb4fa6048b28f35694b4165947br04','simulator','backup_20261127_1636','[]');
INSERT INTO seen_backup VALUES('a833bdcdb6d1beb188dc97e5aab5fe3din04','1af76395c66448cd674ac9505f9cd004br04','simulator','backup_20261128_0436','[]');
INSERT INTO seen_backup VALUES('a833bdcdb6d1beb188dc97e5aab5fe3din04','3d58bb03f31a4686c763de764d6fe1b0br04','simulator','backup_20261126_1636','[]');
INSERT INTO seen_backup VALUES('a833bdcdb6d1beb188dc97e5aab5fe3din04','8e5ff226dfa3a0968797822bdf007245br04','simulator','backup_20261128_1036','[]');
INSERT INTO seen_backup VALUES('a833bdcdb6d1beb188dc97e5aab5fe3din04','9a0508b2cd06f8312a7799127b9e31c8br04','simulator','backup_20261127_1036','[]');
INSERT INTO seen_backup VALUES('a833bdcdb6d1beb188dc97e5aab5fe3din04','c4e77f0ce2a31df5d932ef6461dfa32abr04','simulator','backup_20261127_0436','[]');
CREATE TABLE believed (
    project TEXT NOT NULL, instance TEXT NOT NULL, count INTEGER, at INTEGER, seq INTEGER, shrunk_since INTEGER,
    PRIMARY KEY (project, instance)
) STRICT, WITHOUT ROWID;
INSERT INTO believed VALUES('simulator','',2,1795883817702980,12,NULL);
INSERT INTO believed VALUES('simulator','8f05d19d593f9627abf121c3d8a5d144in04',8,1795883817702980,12,NULL);
INSERT INTO believed VALUES('simulator','a833bdcdb6d1beb188dc97e5aab5fe3din04',8,1795883817702980,12,NULL);
CREATE TABLE blocked_key (fingerprint TEXT PRIMARY KEY, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE confirmed (
    instance TEXT NOT NULL, seq INTEGER NOT NULL, ids INTEGER NOT NULL, PRIMARY KEY (instance, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE packed (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, ids BLOB NOT NULL, rows BLOB NOT NULL) STRICT;
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('hold',2);
CREATE TRIGGER chain_no_update BEFORE UPDATE ON chain BEGIN SELECT RAISE(ABORT, 'the chain is append-only'); END;
CREATE INDEX run_policy_by_time ON run_policy (started_at);
CREATE INDEX run_policy_by_policy ON run_policy (policy, started_at);
CREATE INDEX grace_by_backup ON grace (backup);
CREATE INDEX request_unsettled ON request (seq) WHERE unsettled > 0;
CREATE TRIGGER chain_no_delete BEFORE DELETE ON chain
WHEN OLD.kind NOT IN ('intent', 'outcome', 'confirmed', 'returned')
    OR NOT EXISTS (SELECT 1 FROM packed WHERE OLD.seq BETWEEN first AND last)
BEGIN SELECT RAISE(ABORT, 'the chain is append-only'); END;
CREATE INDEX chain_words ON chain (seq)
WHERE kind IN ('hold', 'release', 'freeze', 'thaw', 'approve', 'approve_listing');
COMMIT;
PRAGMA application_id = 1919185778;
PRAGMA user_version = 3;
