"""A simulator for measurements, and processes that are measured. For the other scripts here."""

import datetime
import hashlib
import hmac
import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.parse

KEEP = 30


class Simulator:
    """A regular fleet; ends with the `with` block."""

    def __init__(self, program, *flags):
        self.argv = [program, "simulator", "--regular", "--deletion-takes", "0s", *flags]

    def __enter__(self):
        self.process = subprocess.Popen(self.argv, stdout=subprocess.PIPE, text=True)
        text = ""
        for line in self.process.stdout:
            text += line
            if line.startswith("policies"):
                break
        # The rest of its words is short enough for the pipe.
        value = lambda key: re.search(rf'^ *{key}: "?([^"\n]*)', text, re.M).group(1)
        self.url, self.region, self.project = value("endpoint"), value("region"), value("project_id")
        self.environment = dict(os.environ, **dict(re.findall(r"^#   export (\w+)=(\S+)$", text, re.M)))
        for name in list(self.environment):
            if name.lower().endswith("_proxy"):
                del self.environment[name]
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def config(self, path, policies=1, state="state", keep=KEEP, listen="none"):
        """Writes a configuration that keeps the newest 30 of everything, or as many as given."""
        directory = os.path.dirname(path)
        with open(path, "w") as file:
            file.write(
                f"version: 1\nstate_dir: {directory}/{state}\nlisten: {listen}\nprojects:\n  - name: simulator\n"
                f"    region: {self.region}\n    project_id: \"{self.project}\"\n    endpoint: {self.url}\n"
                f"    iam_endpoint: {self.url}\n    credentials: {{source: environment}}\n"
                "    requests_per_second: 1000\npolicies:\n"
            )
            for number in range(policies):
                file.write(
                    f"  - name: bench-{number}\n    mode: enforce\n    schedule: \"0 3 * * *\"\n    keep: {{last: {keep}}}\n"
                    "    grace: 0s\n    limits: {max_deletions: 1000000, max_percent: 100}\n"
                )
        return path

    def request(self, method, path, query=(), body=b""):
        """One signed request as bytes, good for a quarter of an hour."""
        stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        host = urllib.parse.urlsplit(self.url).netloc
        headers = {
            "content-type": "application/json",
            "host": host,
            "x-project-id": self.project,
            "x-sdk-date": stamp,
        }
        search = "&".join(f"{name}={urllib.parse.quote(str(value), safe='-_.~')}" for name, value in sorted(query))
        names = ";".join(sorted(headers))
        lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        canonical = f"{method}\n{path}/\n{search}\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
        text = f"SDK-HMAC-SHA256\n{stamp}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        secret = self.environment["HUAWEICLOUD_SDK_SK"].encode()
        signature = hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
        access = self.environment["HUAWEICLOUD_SDK_AK"]
        headers["authorization"] = f"SDK-HMAC-SHA256 Access={access}, SignedHeaders={names}, Signature={signature}"
        headers["content-length"] = str(len(body))
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        target = path + (f"?{search}" if search else "")
        return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + body

    def instances(self, offset):
        query = [("datastore_type", "SQLServer"), ("offset", offset), ("limit", 100)]
        return self.request("GET", f"/v3/{self.project}/instances", query)

    def backups(self, instance, offset):
        query = [("instance_id", instance), ("backup_type", "manual"), ("offset", offset), ("limit", 100)]
        return self.request("GET", f"/v3/{self.project}/backups", query)

    def delete(self, ids):
        body = json.dumps({"backup_ids": ids}).encode()
        return self.request("POST", f"/v3/{self.project}/backups/batch-delete", (), body)


# In a process of its own: a child's resident peak includes what its parent held when it was made.
MEASURE = """
import json, os, sys, time
begun = time.monotonic()
child = os.fork()
if child == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
_, status, usage = os.wait4(child, 0)
values = [time.monotonic() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, os.waitstatus_to_exitcode(status)]
json.dump(values, open(sys.argv[1], "w"))
"""


class Measured:
    """Wall clock, CPU seconds (user + system), resident peak in MiB, output and exit code of one process."""

    def __init__(self, argv, environment, codes=(0,)):
        with tempfile.TemporaryDirectory() as scratch:
            values = os.path.join(scratch, "values")
            measure = [sys.executable, "-ISc", MEASURE, values, *argv]
            done = subprocess.run(measure, env=environment, capture_output=True)
            self.wall, self.cpu, self.peak, self.code = json.load(open(values))
            self.output = done.stdout
        assert self.code in codes, f"{argv[0]}: {self.code}\n{done.stderr.decode()[-2000:]}"


def machine():
    """Where it was measured."""
    names = re.findall(r"^model name\s*: (.*)$", open("/proc/cpuinfo").read(), re.M)
    return f"{len(names)} x {names[0] if names else 'unknown'}, load {os.getloadavg()[0]:.1f}"
