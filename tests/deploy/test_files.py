"""What is in deploy/, against the settings and the repository.

The image is not built and the manifests meet no cluster here: neither is to be had where these tests run.
What a build would do step by step is done without it; proxies are run, in tests/system/test_deploy.py.
"""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from config import SettingsError, load_settings
from config.layers import NOT_SETTINGS, all_variables
from tests.support.markdown import ROOT

DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
MARGIN_S = 4
"""What whoever stops a process should grant beyond the deadlines of the settings."""


def variables_of_the_example() -> dict[str, str]:
    """The lines of .env.example, those that are commented out too."""
    lines = (DEPLOY / ".env.example").read_text(encoding="utf-8").splitlines()
    found = [re.fullmatch(r"(?:# )?(HUB_[A-Z0-9_]+)=(.*)", line) for line in lines]
    return {match[1]: match[2] for match in found if match is not None}


def documents(file: Path) -> list[dict[str, Any]]:
    """The objects of a YAML file."""
    return [each for each in yaml.safe_load_all(file.read_text(encoding="utf-8")) if each]


def manifests() -> list[dict[str, Any]]:
    """Every object of the Kubernetes directory."""
    files = sorted(KUBERNETES.glob("*.yaml"))
    return [each for file in files if file.name != "kustomization.yaml" for each in documents(file)]


def manifest(kind: str, name: str) -> dict[str, Any]:
    """One of them."""
    (found,) = [each for each in manifests() if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def compose() -> dict[str, Any]:
    """The compose file."""
    (found,) = documents(DEPLOY / "compose.yaml")
    return found


def unit(name: str) -> configparser.ConfigParser:
    """A systemd unit; a key that stands there twice is a mistake."""
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(
        re.sub(r"(?m)^Environment=", "SetEnvironment=", (DEPLOY / "systemd" / name).read_text("utf-8"))
    )
    return parser


def seconds(text: str) -> int:
    """Of ``35s`` and ``35``."""
    return int(text.removesuffix("s"))


def test_every_variable_anywhere_is_a_setting() -> None:
    """In the example, the compose file, the manifests, the image and the units."""
    named = {
        name
        for file in DEPLOY.rglob("*")
        if file.is_file()
        for name in re.findall(r"\bHUB_[A-Z0-9_]+[A-Z0-9]\b", file.read_text(encoding="utf-8"))
    }
    assert "HUB_REDIS__URL" in named
    assert named - set(all_variables()) - NOT_SETTINGS == set()


def test_the_example_can_be_served_once_it_is_filled_in() -> None:
    """All of it at once, the lines that are commented out too."""
    env = {
        name: re.sub(r"<[^>]*>", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15", text)
        for name, text in variables_of_the_example().items()
    }
    apps = json.loads(env.pop("HUB_PUSH__APPS"))
    settings = load_settings(None, env)
    assert settings.chosen_engine == "redis"
    assert apps[0]["provider"] == "apns"


def test_the_example_cannot_be_served_before_it_is_filled_in() -> None:
    """Its secrets are known to everybody who can read this repository."""
    with pytest.raises(SettingsError) as refusal:
        load_settings(None, variables_of_the_example())
    assert {problem.key for problem in refusal.value.problems} >= {"auth.secret", "api.keys[0].key"}


def test_the_settings_of_the_manifests_can_be_served() -> None:
    """The map and the secret together."""
    env = dict(manifest("ConfigMap", "hub-settings")["data"])
    for name, text in manifest("Secret", "hub-secrets")["stringData"].items():
        env[name] = re.sub(r"<[^>]*>", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15", text)
    settings = load_settings(None, env)
    ports = {port["name"]: port["containerPort"] for port in container("hub")["ports"]}
    assert ports == {"public": settings.http.port, "internal": settings.internal.port}
    (metrics,) = container("hub-worker")["ports"]
    assert metrics["containerPort"] == settings.push.metrics_port


def container(deployment: str) -> dict[str, Any]:
    """The one container of a deployment."""
    (found,) = manifest("Deployment", deployment)["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_pods_are_given_the_time_that_their_end_takes() -> None:
    """preStop, the wait for load balancers and the drain, and for workers what they hold."""
    settings = manifest("ConfigMap", "hub-settings")["data"]
    spec = manifest("Deployment", "hub")["spec"]["template"]["spec"]
    command = container("hub")["lifecycle"]["preStop"]["exec"]["command"]
    needed_s = int(command[1]) + sum(
        int(settings[name]) for name in ("HUB_SHUTDOWN__READY_WAIT_S", "HUB_SHUTDOWN__DEADLINE_S")
    )
    assert spec["terminationGracePeriodSeconds"] >= needed_s + MARGIN_S
    worker = manifest("Deployment", "hub-worker")["spec"]["template"]["spec"]
    stop_s = load_settings(None, {}, for_serving=False).push.stop_deadline_s
    assert worker["terminationGracePeriodSeconds"] >= stop_s + MARGIN_S


def test_probes_ask_what_they_are_for() -> None:
    """A hub that cannot reach Redis gets no traffic, and is not restarted for it."""
    hub = container("hub")
    paths = {name: hub[name]["httpGet"]["path"] for name in hub if name.endswith("Probe")}
    assert paths == {
        "startupProbe": "/health/ready",
        "readinessProbe": "/health/ready",
        "livenessProbe": "/health/live",
    }
    assert container("hub-worker")["livenessProbe"]["httpGet"]["path"] == "/health/live"


def test_selectors_find_their_pods() -> None:
    """Services, budgets and deployments name labels that the pods have; the scaler a deployment."""
    labels = [
        each["spec"]["template"]["metadata"]["labels"] for each in manifests() if each["kind"] == "Deployment"
    ]
    for each in manifests():
        selector = each.get("spec", {}).get("selector")
        if selector is not None:
            assert selector.get("matchLabels", selector) in labels, each["metadata"]["name"]
    target = manifest("HorizontalPodAutoscaler", "hub")["spec"]["scaleTargetRef"]
    assert manifest(target["kind"], target["name"])


def test_what_a_scaler_counts_is_counted_by_nobody_else() -> None:
    """Replicas in the manifest would end pods by the dozen when it is applied at a busy hour."""
    scaler = manifest("HorizontalPodAutoscaler", "hub")["spec"]
    assert "replicas" not in manifest("Deployment", "hub")["spec"]
    assert scaler["minReplicas"] >= 3


def test_the_kustomization_names_what_is_there() -> None:
    """And no secret."""
    (found,) = documents(KUBERNETES / "kustomization.yaml")
    there = {file.name for file in KUBERNETES.glob("*.yaml")}
    assert set(found["resources"]) == there - {"kustomization.yaml", "secret.example.yaml"}


def test_pods_have_no_rights() -> None:
    """Not root, nothing to write but a temporary directory."""
    for name in ("hub", "hub-worker"):
        assert manifest("Deployment", name)["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"]
        assert container(name)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_compose_names_files_and_services_that_exist() -> None:
    """Mounts, the build, dependencies, and the names that HAProxy knows hubs by."""
    services = compose()["services"]
    for name, service in services.items():
        for mount in service.get("volumes", ()):
            source = mount.partition(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).is_file(), (name, source)
            else:
                assert source in compose()["volumes"]
        assert set(service.get("depends_on", ())) <= set(services)
        if "build" in service:
            assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    proxied = set(re.findall(r"server \w+ (\w+):", (DEPLOY / "haproxy/haproxy.cfg").read_text("utf-8")))
    assert proxied == {name for name, service in services.items() if service.get("command") == ["serve"]}
    assert len(proxied) == 3
    example = variables_of_the_example()
    (network,) = compose()["networks"]["inner"]["ipam"]["config"]
    assert example["HUB_HTTP__TRUSTED_PROXIES"] == network["subnet"]
    needed_s = int(example["HUB_SHUTDOWN__READY_WAIT_S"]) + int(example["HUB_SHUTDOWN__DEADLINE_S"])
    assert seconds(services["hub0"]["stop_grace_period"]) >= needed_s + MARGIN_S


def dockerfile() -> list[str]:
    """Its instructions, one each, long lines joined."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def copied() -> list[str]:
    """What is copied out of the repository."""
    found: list[str] = []
    for line in dockerfile():
        if line.startswith("COPY ") and "--from" not in line:
            found += line.split()[1:-1]
    return found


def test_the_image_runs_as_nobody_special() -> None:
    """Two stages of the same base, and a user by number, which Kubernetes can check."""
    lines = dockerfile()
    bases = {line.split()[1] for line in lines if line.startswith("FROM")}
    assert len(bases) == 1
    assert next(line for line in lines if line.startswith("USER")).split()[1].isdecimal()
    assert any(line.startswith("HEALTHCHECK") for line in lines)


def test_the_image_ignores_all_but_what_it_copies() -> None:
    """So that no secret of a developer gets into the context of a build."""
    rules = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").split("\n")
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    assert rules[1] == "*"
    assert allowed == set(copied())
    assert all((ROOT / path).exists() for path in copied())


def test_the_health_check_of_the_image_is_a_program() -> None:
    """It fails where nobody answers."""
    line = next(line for line in dockerfile() if line.startswith("HEALTHCHECK"))
    command = json.loads(line.partition("CMD ")[2])
    done = subprocess.run(
        [sys.executable, *command[1:]], env={"HEALTH_PORT": "1"}, capture_output=True, check=False
    )
    assert done.returncode == 1
    assert b"URLError" in done.stderr


def test_what_is_copied_is_enough_to_install_the_hub(tmp_path: Path) -> None:
    """Built from these paths alone, without isolation as in the image; and the result runs."""
    source = tmp_path / "source"
    for path in copied():
        target = source / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / path).is_dir():
            shutil.copytree(ROOT / path, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / path, target)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", *options, "-w", str(tmp_path), str(source)],
        check=True,
        capture_output=True,
        cwd=tmp_path,
    )
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    wanted = {
        path.relative_to(ROOT)
        for room in ("hub", "workers", "config")
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert sorted(str(path) for path in wanted if not (installed / path).is_file()) == []
    done = subprocess.run(
        [sys.executable, "-m", "hub", "config", "defaults"],
        env={"PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "[http]" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize("name", ["hub.service", "hub-worker.service"])
def test_units_end_in_time_and_have_enough_files(name: str) -> None:
    """And start what there is."""
    service = unit(name)["Service"]
    settings = load_settings(None, {}, for_serving=False)
    needed_s = (
        settings.shutdown.ready_wait_s + settings.shutdown.deadline_s
        if name == "hub.service"
        else settings.push.stop_deadline_s
    )
    assert seconds(service["TimeoutStopSec"]) >= needed_s + MARGIN_S
    assert int(service["LimitNOFILE"]) >= 8192
    for key in ("ExecStart", "ExecStartPre"):
        if key in service:
            help_ = [*service[key].split()[1:], "--help"]
            done = subprocess.run(
                [sys.executable, "-m", "hub", *help_], cwd=ROOT, capture_output=True, check=False
            )
            assert done.returncode == 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
@pytest.mark.parametrize("name", ["hub.service", "hub-worker.service"])
def test_systemd_understands_the_units(name: str, tmp_path: Path) -> None:
    """With programs that exist here in place of the installed ones."""
    text = (DEPLOY / "systemd" / name).read_text(encoding="utf-8")
    unit_file = tmp_path / name
    unit_file.write_text(text.replace("/opt/hub/bin/hub", "/bin/true"), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit_file)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, name in done.stderr) == (0, False), done.stderr


def test_redis_is_set_up_as_the_doctor_wants_it() -> None:
    """The directives of the page on Redis, and persistence."""
    lines = (DEPLOY / "redis/redis.conf").read_text(encoding="utf-8").splitlines()
    told = dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))
    assert told["maxmemory-policy"] == "noeviction"
    assert told["appendonly"] == "yes"
    assert told["client-output-buffer-limit"] == "pubsub 64mb 32mb 60"
