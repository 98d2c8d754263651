"""Lists and deletes against the simulator with the SDK of Open Telekom Cloud, which knows tokens only.

The access key and its secret stand for a user's name and password. The region is that of the simulator: the catalogue leads back to it.
"""

import os
import sys
import time

import openstack
from otcextensions import sdk

URL = sys.argv[1].rstrip("/")
REGION = os.environ.get("SIMULATOR_REGION", "ap-southeast-3")


def connect(password):
    connection = openstack.connect(
        load_yaml_config=False,
        load_envvars=False,
        auth_type="v3password",
        auth={
            "auth_url": URL + "/v3",
            "username": os.environ["HUAWEICLOUD_SDK_AK"],
            "password": password,
            "user_domain_name": "OTC00000000001000000000",
            "project_name": REGION,
            "project_domain_name": "OTC00000000001000000000",
        },
        region_name=REGION,
        interface="public",
    )
    sdk.register_otc_extensions(connection)
    return connection


def main():
    rds = connect(os.environ["HUAWEICLOUD_SDK_SK"]).rds
    instances = list(rds.instances())
    servers = [instance for instance in instances if instance.datastore["type"] == "SQLServer"]
    assert servers, instances
    home, manual = next(
        (server, found)
        for server in servers
        if len(found := [b for b in rds.backups(instance=server) if b.type == "manual" and b.status == "COMPLETED"]) > 5
    )
    victim = manual[-1]
    rds.delete_backup(victim)
    for _ in range(200):
        if victim.id not in [backup.id for backup in rds.backups(instance=home)]:
            break
        time.sleep(0.05)
    else:
        raise AssertionError(f"{victim.id} is still listed")
    made = rds.create_backup(instance=home, name="made_by_otc", description="")
    assert made.status == "BUILDING" and made.instance_id == home.id, made
    policy = rds.get_instance_backup_policy(home) if hasattr(rds, "get_instance_backup_policy") else None
    print(f"otcextensions: {len(instances)} instances, {len(manual)} backups of one, one deleted, one made, policy: {policy}")
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
