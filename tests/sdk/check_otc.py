"""Lists, makes and deletes against the simulator with the SDK of Open Telekom Cloud, which knows tokens only.

The access key and its secret stand for a user's name and password. The region is that of the simulator: the catalogue leads back to it.
"""

import os
import sys
import time

import openstack
from otcextensions import sdk

URL = sys.argv[1].rstrip("/")
REGION = os.environ.get("SIMULATOR_REGION", "ap-southeast-3")
PROJECT = os.environ.get("SIMULATOR_PROJECT_ID", "054e292c9880d4992f02c0196d3ea468")
DOMAIN = "OTC00000000001000000000"


def connect(password):
    connection = openstack.connect(
        load_yaml_config=False,
        load_envvars=False,
        auth_type="v3password",
        auth={
            "auth_url": URL + "/v3",
            "username": os.environ["HUAWEICLOUD_SDK_AK"],
            "password": password,
            "user_domain_name": DOMAIN,
            "project_name": REGION,
            "project_domain_name": DOMAIN,
        },
        region_name=REGION,
        interface="public",
    )
    sdk.register_otc_extensions(connection)
    return connection


def until(what, holds):
    for _ in range(400):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError(what)


def unread(resources):
    """What no resource of a list has, although every answer of the simulator names it or may."""
    names = set.intersection(*({name for name, value in one.to_dict().items() if value is None} for one in resources))
    return sorted(names - {"location"})


def main():
    connection = connect(os.environ["HUAWEICLOUD_SDK_SK"])
    assert connection.current_project_id == PROJECT, connection.current_project_id
    rds = connection.rds

    instances = list(rds.instances())
    assert len(instances) > 1 and len({instance.id for instance in instances}) == len(instances), instances
    servers = list(rds.instances(datastore_type="SQLServer"))
    assert servers and {instance.datastore["type"] for instance in servers} == {"SQLServer"}
    home, manual = next(
        (server, found)
        for server in servers
        if len(found := [b for b in rds.backups(server, type="manual") if b.status == "COMPLETED"]) > 5
    )
    assert all(b.type == "manual" and b.instance_id == home.id and b.size > 0 and b.begin_time for b in manual)
    some = list(rds.backups(home, type="manual", limit=3))
    assert len(some) >= len(manual), "pages of three are followed to the end"
    assert [b.id for b in rds.backups(home, id=manual[0].id)] == [manual[0].id]
    print(f"otcextensions: {len(instances)} instances, {len(manual)} manual backups of one")

    made = rds.create_backup(home, name="made_by_otc", description="a test")
    assert made.status == "BUILDING" and made.instance_id == home.id and made.name == "made_by_otc", made
    there = lambda: next(b for b in rds.backups(home, type="manual") if b.id == made.id)
    assert there().status == "BUILDING", there()
    until("the backup that was made is not COMPLETED", lambda: there().status == "COMPLETED")
    for victim in (made, manual[-1]):
        rds.delete_backup(victim, ignore_missing=False)
        until(f"{victim.id} is still listed", lambda: victim.id not in [b.id for b in rds.backups(home)])
    try:
        rds.delete_backup(made, ignore_missing=False)
    except openstack.exceptions.NotFoundException as error:
        assert error.status_code == 404, error
    else:
        raise AssertionError("a backup that is gone was deleted")
    print("otcextensions: a backup made (BUILDING, then COMPLETED) and deleted, and an old one")

    rds.set_instance_backup_policy(home, keep_days=14, start_time="01:00-02:00", period="1,3,5")
    policy = rds.get_instance_backup_policy(home)
    assert policy == {"keep_days": 14, "start_time": "01:00-02:00", "period": "1,3,5"}, policy
    print("otcextensions: a backup policy set and shown")
    print("not read by otcextensions, in an instance: " + ", ".join(unread(instances)))
    print("not read by otcextensions, in a backup: " + ", ".join(unread(manual)))

    try:
        list(connect("wrong").rds.instances())
    except openstack.exceptions.HttpException as error:
        assert error.status_code == 401, error
    except Exception as error:
        assert "401" in str(error), error
    else:
        raise AssertionError("a wrong password was accepted")
    print("otcextensions: a wrong password is refused")


main()
