"""`deploy/kubernetes/`: the overlays as `kubectl kustomize` renders them."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from config import RELEASE, ROOT, Settings, secret_settings

OVERLAYS = {"one-replica": 1, "three-replicas": 3}
VERSIONS = ("1.36", "1.37")
KINDS = {"ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"}
# What the Pod Security Standard `restricted` lets a pod mount.
MAY_BE_MOUNTED = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def tool(name: str, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name(name)), *arguments]
    return subprocess.run(command, check=False, input=given, capture_output=True, text=True)


@cache
def rendered(overlay: str) -> str:
    done = tool("kubectl", "kustomize", str(ROOT / "deploy" / "kubernetes" / "overlays" / overlay))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def manifests(overlay: str) -> dict[str, Any]:
    """The manifests by their kind, of which there is one each."""
    found = list(yaml.safe_load_all(rendered(overlay)))
    assert len(found) == len(KINDS)
    return {manifest["kind"]: manifest for manifest in found}


def validated(text: str, version: str) -> subprocess.CompletedProcess[str]:
    return tool("kubernetes-validate", "--strict", "--kubernetes-version", version, "-", given=text)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_manifests_are_what_kubernetes_takes(overlay: str, version: str) -> None:
    assert set(manifests(overlay)) == KINDS
    done = validated(rendered(overlay), version)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("field", ["maxUnavailable", "policyTypes", "readOnlyRootFilesystem", "targetPort"])
def test_a_misspelt_field_is_found(field: str) -> None:
    text = rendered("one-replica")
    done = validated(text.replace(f"{field}:", f"{field}s:"), VERSIONS[0])
    assert f"{field}:" in text
    assert done.returncode != 0
    assert f"{field}s" in done.stdout + done.stderr


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_restricted_namespace_accepts_the_pods(overlay: str) -> None:
    pod = manifests(overlay)["Deployment"]["spec"]["template"]["spec"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert {kind for volume in pod["volumes"] for kind in volume.keys() - {"name"}} <= MAY_BE_MOUNTED
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert all("hostPort" not in port for port in container["ports"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_pods_have_what_the_image_needs(overlay: str) -> None:
    pod = manifests(overlay)["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    (volumes,) = re.findall(r"^VOLUME \[(.*)\]$", dockerfile, re.MULTILINE)
    writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert writable == set(re.findall(r'"([^"]+)"', volumes))
    (port,) = container["ports"]
    assert re.findall(r"^EXPOSE (\d+)$", dockerfile, re.MULTILINE) == [str(port["containerPort"])]
    assert container["image"].endswith(f"/control-tower:{RELEASE}")
    assert {"requests", "limits"} <= container["resources"].keys()
    # Probes need no key.
    probes = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    assert probes == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}
    # The pause, and the 10 s that requests have to be answered.
    assert pod["terminationGracePeriodSeconds"] > container["lifecycle"]["preStop"]["sleep"]["seconds"] + 10


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_service_budget_and_policy_select_the_pods(overlay: str) -> None:
    found = manifests(overlay)
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert labels == found["Deployment"]["spec"]["selector"]["matchLabels"] == found["Service"]["spec"]["selector"]
    assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    for spread in found["Deployment"]["spec"]["template"]["spec"].get("topologySpreadConstraints", []):
        assert spread["labelSelector"]["matchLabels"] == labels


@pytest.mark.parametrize(("overlay", "replicas"), OVERLAYS.items())
def test_an_overlay_has_its_replicas_and_names_settings_that_there_are(overlay: str, replicas: int) -> None:
    found = manifests(overlay)
    assert found["Deployment"]["spec"]["replicas"] == replicas
    given = found["ConfigMap"]["data"]
    known = {name.upper() for name in Settings.model_fields} | {f"{name.upper()}_FILE" for name in secret_settings()}
    # gunicorn's own.
    assert given.keys() <= known | {"FORWARDED_ALLOW_IPS"}
    assert not {name.upper() for name in secret_settings()} & given.keys() - {"MLFLOW_TRACKING_URI"}
    assert ("REDIS_URL_FILE" in given) == (replicas > 1)
    reachable = {port["port"] for rule in found["NetworkPolicy"]["spec"]["egress"] for port in rule["ports"]}
    assert (6379 in reachable) == (replicas > 1)
