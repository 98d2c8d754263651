"""The official SDK doing what `apply` does: list all, delete what is not among the newest KEEP, list again.

    sdk.py URL PROJECT_ID KEEP THREADS      with HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK

One thread is one call after another. Prints the number of calls.
"""

import itertools
import os
import sys
from concurrent.futures import ThreadPoolExecutor

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkrds.v3 import (
    BatchDeleteBackupRequestBody,
    BatchDeleteManualBackupRequest,
    ListBackupsRequest,
    ListInstancesRequest,
    RdsClient,
)

URL, PROJECT, KEEP, THREADS = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
CALLS = itertools.count()


def pages(ask, field):
    found = []
    while True:
        next(CALLS)
        answer = ask(len(found))
        found += getattr(answer, field)
        if len(found) >= answer.total_count:
            return found


def main():
    credentials = BasicCredentials(os.environ["HUAWEICLOUD_SDK_AK"], os.environ["HUAWEICLOUD_SDK_SK"], PROJECT)
    rds = RdsClient.new_builder().with_credentials(credentials).with_endpoint(URL).build()

    def instances(offset):
        return rds.list_instances(ListInstancesRequest(datastore_type="SQLServer", offset=offset, limit=100))

    def backups(instance):
        def page(offset):
            request = ListBackupsRequest(instance_id=instance, backup_type="manual", offset=offset, limit=100)
            return rds.list_backups(request)

        return pages(page, "backups")

    def delete(ids):
        next(CALLS)
        body = BatchDeleteBackupRequestBody(backup_ids=ids)
        answer = rds.batch_delete_manual_backup(BatchDeleteManualBackupRequest(body=body))
        assert all(result.error_code == "0" for result in answer.delete_results)

    with ThreadPoolExecutor(THREADS) as pool:
        homes = [instance.id for instance in pages(instances, "instances")]
        expired = []
        for found in pool.map(backups, homes):
            expired += sorted(found, key=lambda backup: backup.begin_time)[:-KEEP]
        expired.sort(key=lambda backup: (backup.begin_time, backup.id))
        ids = [backup.id for backup in expired]
        list(pool.map(delete, [ids[at : at + 50] for at in range(0, len(ids), 50)]))
        assert all(len(found) == KEEP for found in pool.map(backups, homes))
    print(next(CALLS))


main()
