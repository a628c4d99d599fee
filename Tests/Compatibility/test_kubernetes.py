"""The Kubernetes job against the schemas that an API server would hold it to: the MPI operator's for the job, Kubernetes' own for the pods in it."""
import copy
import pathlib
import re

import jsonschema
import kubernetes_validate
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
JOB = ROOT / "Cluster/kubernetes/mpijob.yaml"

REPLICA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["template"],
    "properties": {
        "replicas": {"type": "integer", "minimum": 1},
        "restartPolicy": {"enum": ["Never", "OnFailure"]},
        "template": {"type": "object", "required": ["spec"]},
    },
}
# What kubeflow/mpi-operator's CustomResourceDefinition says of `mpijobs.kubeflow.org` v2beta1, with no room for other keys.
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "kubeflow.org/v2beta1"},
        "kind": {"const": "MPIJob"},
        "metadata": {"type": "object", "required": ["name"]},
        "spec": {
            "type": "object",
            "additionalProperties": False,
            "required": ["mpiReplicaSpecs"],
            "properties": {
                "slotsPerWorker": {"type": "integer", "minimum": 1},
                "launcherCreationPolicy": {"enum": ["AtStartup", "WaitForWorkersReady"]},
                "runLauncherAsWorker": {"type": "boolean"},
                "sshAuthMountPath": {"type": "string"},
                "mpiImplementation": {"enum": ["OpenMPI", "Intel", "MPICH"]},
                "runPolicy": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "activeDeadlineSeconds": {"type": "integer", "minimum": 0},
                        "backoffLimit": {"type": "integer", "minimum": 0},
                        "cleanPodPolicy": {"enum": ["None", "Running", "All"]},
                        "schedulingPolicy": {"type": "object"},
                        "suspend": {"type": "boolean"},
                        "ttlSecondsAfterFinished": {"type": "integer", "minimum": 0},
                    },
                },
                "mpiReplicaSpecs": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["Launcher"],
                    "properties": {
                        "Launcher": {**REPLICA, "properties": {**REPLICA["properties"], "replicas": {"const": 1}}},
                        "Worker": REPLICA,
                    },
                },
            },
        },
    },
}


@pytest.fixture
def job():
    return yaml.safe_load(JOB.read_text())


def pods(job):
    for name, replica in job["spec"]["mpiReplicaSpecs"].items():
        template = replica["template"]
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name.lower(), **template.get("metadata", {})}, "spec": template["spec"]}


def test_the_operator_takes_the_job(job):
    jsonschema.validate(job, SCHEMA)


def test_kubernetes_takes_its_pods(job):
    checked = [kubernetes_validate.validate(pod, "1.29", strict=True) for pod in pods(job)]
    assert len(checked) == 2


def test_mistakes_are_found(job):
    wrong = copy.deepcopy(job)
    wrong["spec"]["slotsPerWorkers"] = 2
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, SCHEMA)
    wrong = copy.deepcopy(job)
    wrong["spec"]["mpiReplicaSpecs"]["Worker"]["template"]["spec"]["containers"][0]["volumeMount"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        for pod in pods(wrong):
            kubernetes_validate.validate(pod, "1.29", strict=True)


def test_its_numbers_agree(job):
    """Ranks are the workers' slots, threads their cores; the launcher's arguments are options of run_mpi.sh, its recipe is in the image."""
    spec = job["spec"]
    launcher = spec["mpiReplicaSpecs"]["Launcher"]["template"]["spec"]["containers"][0]
    worker = spec["mpiReplicaSpecs"]["Worker"]
    cores = int(worker["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])
    arguments = launcher["args"]
    own = arguments[: arguments.index("--")]
    options = dict(zip(own[::2], own[1::2]))
    assert int(options["--ranks"]) == worker["replicas"] * spec["slotsPerWorker"]
    assert spec["slotsPerWorker"] * int(options["--threads"]) == cores
    usage = (ROOT / "run_mpi.sh").read_text()
    assert all(f"{option} " in usage for option in options)
    assert (ROOT / arguments[arguments.index("compress") + 1]).exists()


def test_the_image_has_what_the_job_starts(job):
    image = (ROOT / "Cluster/Containerfile").read_text()
    worker = job["spec"]["mpiReplicaSpecs"]["Worker"]["template"]["spec"]["containers"][0]
    assert "openssh-server" in image and worker["command"] == ["/usr/sbin/sshd"]
    configuration = worker["args"][-1]
    assert f">{configuration}" in image
    port = worker["readinessProbe"]["tcpSocket"]["port"]
    assert set(map(int, re.findall(r"Port (\d+)", image))) == {port}
    assert f"HostKey {job['spec']['sshAuthMountPath']}/id_rsa" in image
    for source in re.findall(r"^COPY (?!--from)(.*) \S+$", image, flags=re.MULTILINE):
        assert all((ROOT / path).exists() for path in source.split())
