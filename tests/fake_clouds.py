"""Run Snakemake with Kubernetes' or AWS Batch's client replaced by one that notes requests and runs jobs right here.

    fake_clouds.py FOLDER SNAKEMAKE-ARGUMENTS ...

Each request goes to FOLDER as JSON. A job's command then runs in an empty folder of its own, like that of a container:
what it needs and makes has to come and go through the storage provider.
"""

import json
import subprocess
import sys
from itertools import count
from pathlib import Path
from types import SimpleNamespace

folder = Path(sys.argv[1])
numbers = count(1)
status: dict[str, int] = {}


def submitted(name: str, request: dict, command: list[str]) -> None:
    """Note the request and run the job to its end."""
    number = next(numbers)
    (folder / f"{number}.json").write_text(json.dumps(request, indent=1))
    container = folder / f"container-{number}"
    container.mkdir()
    with (folder / f"{number}.log").open("w") as log:
        status[name] = subprocess.run(command, cwd=container, stdout=log, stderr=log).returncode


class Kubernetes:
    """What the plugin calls of CoreV1Api and BatchV1Api."""

    def create_namespaced_job(self, namespace, body):
        import kubernetes.client

        request = kubernetes.client.ApiClient().sanitize_for_serialization(body)
        container = body.spec.template.spec.containers[0]
        submitted(body.metadata.name, {"namespace": namespace, **request}, [*container.command, *container.args])

    def read_namespaced_job_status(self, name, namespace):
        failed = status[name] != 0
        return SimpleNamespace(status=SimpleNamespace(failed=int(failed), succeeded=int(not failed)))

    def list_namespaced_pod(self, **_):
        return SimpleNamespace(items=[])

    def create_namespaced_secret(self, *_):
        pass

    delete_namespaced_secret = delete_namespaced_job = delete_namespaced_pod = lambda *_, **__: None


class Batch:
    """What the plugin calls of boto3's batch client."""

    def __init__(self) -> None:
        self.definitions: dict[str, dict] = {}

    def register_job_definition(self, **request):
        self.definitions[f"{request['jobDefinitionName']}:1"] = request
        return {"jobDefinitionName": request["jobDefinitionName"], "revision": 1}

    def submit_job(self, **request):
        definition = self.definitions[request["jobDefinition"]]
        command = definition["containerProperties"]["command"]
        submitted(request["jobName"], {"definition": definition, "job": request}, command)
        return {"jobName": request["jobName"], "jobId": request["jobName"]}

    def describe_jobs(self, jobs):
        code = status[jobs[0]]
        return {"jobs": [{"status": "FAILED" if code else "SUCCEEDED", "container": {"exitCode": code}}]}

    terminate_job = deregister_job_definition = lambda *_, **__: None


def main() -> None:
    from unittest import mock

    with (
        mock.patch("kubernetes.config.load_kube_config"),
        mock.patch("kubernetes.client.CoreV1Api", Kubernetes),
        mock.patch("kubernetes.client.BatchV1Api", Kubernetes),
        mock.patch("boto3.client", lambda *_, **__: Batch()),
    ):
        from snakemake.cli import main

        main(sys.argv[2:])


if __name__ == "__main__":
    main()
