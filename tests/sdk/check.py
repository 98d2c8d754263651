"""Lists and deletes against the simulator with a client nobody here wrote: the official SDK.

Exits with 0 when everything behaved as documented; otherwise the first broken promise is a traceback. It deletes a few
backups of whatever fleet it finds, which must have SQL Server instances with manual backups.
"""

import os
import sys
import time

from huaweicloudsdkcore.auth.credentials import BasicCredentials, GlobalCredentials
from huaweicloudsdkcore.auth.internal import MetadataAccessor
from huaweicloudsdkcore.auth.provider import MetadataCredentialProvider
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkcore.region.region import Region
from huaweicloudsdkiam.v3 import IamClient, KeystoneListProjectsRequest
from huaweicloudsdkrds.v3 import (
    BatchDeleteBackupRequestBody,
    BatchDeleteManualBackupRequest,
    CreateManualBackupRequest,
    CreateManualBackupRequestBody,
    DeleteInstanceRequest,
    DeleteManualBackupRequest,
    ListJobInfoDetailRequest,
    BackupPolicy,
    ListBackupsRequest,
    ListInstancesRequest,
    ListRetainBackupsRequest,
    RdsClient,
    SetBackupPolicyRequest,
    SetBackupPolicyRequestBody,
    ShowBackupPolicyRequest,
    ShowBackupRetainPolicyRequest,
    ShowBackupRetainPolicyRequestBody,
    ShowQuotasRequest,
)

URL = sys.argv[1].rstrip("/")
ACCESS = os.environ["HUAWEICLOUD_SDK_AK"]
SECRET = os.environ["HUAWEICLOUD_SDK_SK"]
REGION = os.environ.get("SIMULATOR_REGION", "ap-southeast-3")
PROJECT = os.environ.get("SIMULATOR_PROJECT_ID", "054e292c9880d4992f02c0196d3ea468")
UNKNOWN = "0" * 32 + "br04"


def client(credentials, region=None):
    builder = RdsClient.new_builder().with_credentials(credentials)
    return (builder.with_region(region) if region else builder.with_endpoint(URL)).build()


def refused(status, call):
    try:
        call()
    except ClientRequestException as error:
        assert error.status_code == status, (error.status_code, error.error_code, error.error_msg)
        assert error.error_code and error.request_id, "an error without code or request id"
        return error
    raise AssertionError(f"expected status {status}, and it was accepted")


def instances(rds, **filters):
    found, offset = [], 0
    while True:
        answer = rds.list_instances(ListInstancesRequest(offset=offset, limit=3, **filters))
        found += answer.instances
        if len(found) >= answer.total_count:
            assert len(found) == answer.total_count
            return found
        assert answer.instances, "an empty page before the end"
        offset += len(answer.instances)


def backups(rds, instance, limit=100, **filters):
    found, offset = [], 0
    while True:
        request = ListBackupsRequest(instance_id=instance, offset=offset, limit=limit, **filters)
        answer = rds.list_backups(request)
        found += answer.backups
        if len(found) >= answer.total_count:
            assert len({backup.id for backup in found}) == answer.total_count, "pages overlap"
            return found
        assert answer.backups, "an empty page before the end"
        offset += len(answer.backups)


def batch(rds, ids):
    body = BatchDeleteBackupRequestBody(backup_ids=ids)
    answer = rds.batch_delete_manual_backup(BatchDeleteManualBackupRequest(body=body))
    return {result.backup_id: result.error_code for result in answer.delete_results}


def gone(rds, instance, backup):
    for _ in range(200):
        found = backups(rds, instance, backup_id=backup)
        if not found:
            return
        assert found[0].status == "DELETING", found[0].status
        time.sleep(0.05)
    raise AssertionError(f"{backup} is still listed")


def main():
    rds = client(BasicCredentials(ACCESS, SECRET, PROJECT))

    everything = instances(rds)
    servers = instances(rds, datastore_type="SQLServer")
    assert servers and len(servers) < len(everything), "the fleet should mix engines"
    assert all(instance.datastore.type == "SQLServer" and instance.id.endswith("in04") for instance in servers)
    assert any(instance.type == "Replica" for instance in servers), "the fleet should have a replica"
    named = instances(rds, name=servers[0].name)
    assert [instance.id for instance in named] == [servers[0].id]
    tagged = instances(rds, datastore_type="SQLServer", tags="env=" + servers[0].tags[0].value)
    assert servers[0].id in [instance.id for instance in tagged]
    for name, own in (("vpc_id", servers[0].vpc_id), ("subnet_id", servers[0].subnet_id), ("group_type", "normal2")):
        assert len(instances(rds, **{name: own})) == len(everything) and not instances(rds, **{name: "another"}), name
    missing = [name for name in servers[0].openapi_types if getattr(servers[0], name) is None]
    # What an instance need not have.
    assert set(missing) <= {"expiration_time", "order_id", "serverless_info"}, missing
    print(f"instances: {len(everything)} in all, {len(servers)} of SQL Server")

    home = next(i.id for i in servers if i.type != "Replica" and len(backups(rds, i.id, backup_type="manual")) > 10)
    manual = backups(rds, home, backup_type="manual")
    assert [b.id for b in manual] == [b.id for b in backups(rds, home, limit=7, backup_type="manual")]
    assert all(b.type == "manual" and b.instance_id == home and b.size > 0 for b in manual)
    automated = [b for b in backups(rds, home) if b.type != "manual"]
    assert automated, "the fleet should have automated backups"
    completed = backups(rds, home, backup_type="manual", status="COMPLETED")
    day = (completed[3].begin_time, completed[1].begin_time)
    between = backups(rds, home, backup_type="manual", begin_time=day[0], end_time=day[1])
    assert completed[2].id in [b.id for b in between] and completed[5].id not in [b.id for b in between]
    print(f"backups of {home}: {len(manual)} manual, {len(automated)} automated")

    refused(400, lambda: rds.list_backups(ListBackupsRequest(instance_id=home, limit=101)))
    refused(400, lambda: rds.list_backups(ListBackupsRequest(instance_id=home, begin_time=day[0])))
    refused(404, lambda: rds.list_backups(ListBackupsRequest(instance_id="0" * 32 + "in04")))
    refused(400, lambda: batch(rds, []))
    refused(400, lambda: batch(rds, [UNKNOWN] * 51))
    other = next(i.id for i in everything if i.datastore.type != "SQLServer")
    foreign = backups(rds, other, backup_type="manual")[0]
    refused(400, lambda: batch(rds, [foreign.id]))

    victims = [b.id for b in completed[-3:]]
    results = batch(rds, victims[:2] + [UNKNOWN, automated[0].id])
    assert results.pop(victims[0]) == results.pop(victims[1]) == "0", results
    assert results.pop(UNKNOWN) == "DBS.280214" and results.pop(automated[0].id) != "0" and not results
    rds.delete_manual_backup(DeleteManualBackupRequest(backup_id=victims[2]))
    refused(404, lambda: rds.delete_manual_backup(DeleteManualBackupRequest(backup_id=UNKNOWN)))
    for victim in victims:
        gone(rds, home, victim)
    assert len(backups(rds, home, backup_type="manual")) == len(manual) - 3
    print("deletions: a batch with a partial failure, and a single one")

    rds.delete_manual_backup(DeleteManualBackupRequest(backup_id=foreign.id))
    gone(rds, other, foreign.id)
    print("other engines: a single deletion")

    body = CreateManualBackupRequestBody(instance_id=home, name="made_by_the_sdk")
    made = rds.create_manual_backup(CreateManualBackupRequest(body=body)).backup
    assert made.status == "BUILDING" and made.instance_id == home
    assert [b.name for b in backups(rds, home, backup_id=made.id)] == ["made_by_the_sdk"]
    assert rds.show_quotas(ShowQuotasRequest()).quotas.resources[0].type == "instance"
    policy = BackupPolicy(keep_days=14, start_time="01:00-02:00", period="1,3,5")
    body = SetBackupPolicyRequestBody(backup_policy=policy)
    rds.set_backup_policy(SetBackupPolicyRequest(instance_id=home, body=body))
    assert rds.show_backup_policy(ShowBackupPolicyRequest(instance_id=home)).backup_policy == policy
    # What the SDK cannot deserialise: it types a list as one object, and reads nothing of it.
    unread = []
    tasks = rds.list_job_info_detail(ListJobInfoDetailRequest(instance_id=home, start_time="0"))
    if getattr(tasks.jobs, "task_detail", None) is None:
        unread.append("tasks (jobs)")
    assert rds.delete_instance(DeleteInstanceRequest(instance_id=other)).job_id
    assert other not in [instance.id for instance in instances(rds)]
    body = ShowBackupRetainPolicyRequestBody(instance_status="deleted")
    if rds.show_backup_retain_policy(ShowBackupRetainPolicyRequest(body=body)).instance_id is None:
        unread.append("retain policies (backup_retain_policies)")
    retained = rds.list_retain_backups(ListRetainBackupsRequest(instance_id=other))
    assert retained.total > 0
    if getattr(retained.backups, "id", None) is None:
        unread.append("retained backups (backups)")
    print("console: a backup made, an instance deleted, backup policy, quotas, tasks, retain policies")
    print("not read by the SDK, which has one object where there is a list: " + ", ".join(unread))

    looked_up = client(BasicCredentials(ACCESS, SECRET).with_iam_endpoint(URL), Region(REGION, URL))
    assert len(instances(looked_up, datastore_type="SQLServer")) == len(servers)
    account = GlobalCredentials(ACCESS, SECRET, "d78cbac186b744899480f25bd02aaaaa")
    iam = IamClient.new_builder().with_credentials(account).with_endpoint(URL).build()
    projects = iam.keystone_list_projects(KeystoneListProjectsRequest(name=REGION)).projects
    assert [project.id for project in projects] == [PROJECT]
    print("project: looked up by region")

    # The address of the metadata service is fixed in the SDK; everything after it is the SDK's own.
    MetadataAccessor._METADATA_ENDPOINT = URL
    credentials = MetadataCredentialProvider.get_basic_credential_metadata_provider().get_credentials()
    credentials.with_project_id(PROJECT)
    assert len(instances(client(credentials), datastore_type="SQLServer")) == len(servers)
    print("temporary keys: from the metadata service")

    error = refused(401, lambda: instances(client(BasicCredentials(ACCESS, SECRET + "x", PROJECT))))
    assert error.error_code == "APIGW.0301", error.error_code
    refused(401, lambda: instances(client(BasicCredentials("NOSUCHKEY", SECRET, PROJECT))))
    refused(403, lambda: instances(client(BasicCredentials(ACCESS, SECRET, "f" * 32))))
    print("refused: a wrong secret, an unknown key, a foreign project")


main()
