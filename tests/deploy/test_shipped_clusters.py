"""What is shipped for Docker Compose, Kubernetes and ``ray up`` names what exists: settings,
variables, files, ports, commands. No Docker and no Kubernetes is here to run it.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml
from ray.scripts.scripts import start as ray_start
from typer.main import get_command

from actors.runtime.cluster import SETTINGS
from actors.runtime.serving import OBJECT_STORE_BYTES
from api.main import app
from api.server.app import create_app
from api.web.authentication import Keys
from pool.config import Config, parse
from tests.support.clusters.cluster import shipped

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = DEPLOY / "compose"
KUBERNETES = DEPLOY / "kubernetes"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
_RAY_SCHEMA = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"
PART = {"app.kubernetes.io/part-of": "claude-pool"}
LOOPBACK = "127.0.0.1:"


def loaded(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def manifests() -> Iterator[dict[str, Any]]:
    """Every object that is applied."""
    for name in loaded(KUBERNETES / "kustomization.yaml")["resources"]:
        yield from yaml.safe_load_all((KUBERNETES / name).read_text(encoding="utf-8"))


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [each for each in manifests() if each["kind"] == kind]


def pods() -> dict[str, dict[str, Any]]:
    """The templates of pods, by what they are."""
    (cluster,), (api,) = of_kind("RayCluster"), of_kind("Deployment")
    spec = cluster["spec"]
    groups = {f"worker {each['groupName']}": each for each in spec["workerGroupSpecs"]}
    templates = {name: each["template"] for name, each in groups.items()}
    return {
        "head": spec["headGroupSpec"]["template"],
        **templates,
        "api": api["spec"]["template"],
    }


def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["spec"]["containers"]
    return dict(only)


def variables(pod: dict[str, Any]) -> set[str]:
    """Those that its container is given."""
    secrets = {each["metadata"]["name"]: each["stringData"] for each in of_kind("Secret")}
    maps = {each["metadata"]["name"]: each["data"] for each in of_kind("ConfigMap")}
    given: set[str] = set()
    for source in container(pod)["envFrom"]:
        for kind, known in (("secretRef", secrets), ("configMapRef", maps)):
            given |= set(known[source[kind]["name"]]) if kind in source else set()
    return given


def of_kubernetes() -> Config:
    (text,) = (
        each["stringData"]["pool.toml"]
        for each in of_kind("Secret")
        if "pool.toml" in each["stringData"]
    )
    return parse(tomllib.loads(text))


def of_compose() -> Config:
    return parse(tomllib.loads((COMPOSE / "pool.toml").read_text(encoding="utf-8")))


def credentials(config: Config) -> set[str]:
    return {each.credential.environment_name for each in config.subscriptions if each.credential}


def keys(config: Config) -> set[str]:
    return {each.key_env for each in config.api_keys}


def ray_options() -> set[str]:
    return {name.removeprefix("--") for each in ray_start.params for name in each.opts}


@pytest.mark.parametrize("config", [of_compose(), of_kubernetes()], ids=["compose", "kubernetes"])
def test_a_pool_that_is_shipped_listens_outside_with_keys_and_keeps_its_password_elsewhere(
    config: Config,
) -> None:
    assert config.server.host == "0.0.0.0"
    assert config.pool.data_dir == Path("/data")
    assert not isinstance(config.pool.store, str)
    assert config.pool.store.get_secret_value() == "postgresql://pool@postgres:5432/pool"
    assert {key.name: set(key.scopes) for key in config.api_keys}["prometheus"] == {"read"}


# -- Docker Compose ------------------------------------------------------------------------------


def test_compose_gives_the_pool_every_variable_that_its_configuration_names() -> None:
    service = loaded(COMPOSE / "compose.yaml")["services"]["pool"]
    example = (COMPOSE / ".env.example").read_text(encoding="utf-8")
    asked = set(re.findall(r"\$\{(\w+):\?", (COMPOSE / "compose.yaml").read_text("utf-8")))

    config = of_compose()
    assert set(service["environment"]) == {"PGPASSWORD", *credentials(config), *keys(config)}
    assert set(re.findall(r"^(\w+)=$", example, re.MULTILINE)) == asked


def test_each_container_of_compose_is_the_pool_that_has_the_database() -> None:
    """A pool with a Ray of its own is known by its machine's name, which a container draws anew."""
    service = loaded(COMPOSE / "compose.yaml")["services"]["pool"]

    assert of_compose().ray.address == "local"
    assert service["hostname"] == "claude-pool"


def test_compose_mounts_what_is_there_where_it_is_looked_for() -> None:
    services = loaded(COMPOSE / "compose.yaml")["services"]
    mounts = [each.split(":") for service in services.values() for each in service["volumes"]]
    files = {target: source for source, target, *_ in mounts if source.startswith(".")}

    assert all((COMPOSE / source).is_file() for source in files.values())
    assert f'"--config", "{_mounted(files, "pool.toml")}"' in DOCKERFILE
    assert f"VOLUME {of_compose().pool.data_dir}" in DOCKERFILE
    folder = loaded(COMPOSE / "grafana" / "dashboards.yaml")["providers"][0]["options"]["path"]
    assert Path(_mounted(files, "grafana-dashboard.json")).parent == Path(folder)
    (rules,) = loaded(COMPOSE / "prometheus.yml")["rule_files"]
    assert _mounted(files, "alerts.rules.yml") == f"/etc/prometheus/{rules}"


def _mounted(files: dict[str, str], name: str) -> str:
    (target,) = (target for target, source in files.items() if Path(source).name == name)
    return target


def test_compose_speaks_with_services_and_ports_that_are_there() -> None:
    compose = loaded(COMPOSE / "compose.yaml")
    (scrape,) = loaded(COMPOSE / "prometheus.yml")["scrape_configs"]
    (source,) = loaded(COMPOSE / "grafana" / "datasources.yaml")["datasources"]
    port = of_compose().server.port

    assert scrape["static_configs"] == [{"targets": [f"pool:{port}"]}]
    assert f"EXPOSE {port}" in DOCKERFILE
    assert source["url"] == "http://prometheus:9090"
    (secret,) = compose["services"]["prometheus"]["secrets"]
    assert scrape["authorization"] == {"credentials_file": f"/run/secrets/{secret}"}
    assert compose["secrets"][secret]["environment"] in keys(of_compose())
    asked = [each for service in compose["services"].values() for each in service.get("ports", ())]
    assert all(each.startswith(LOOPBACK) for each in asked)


def test_a_container_is_given_longer_than_a_drain_takes() -> None:
    grace = loaded(COMPOSE / "compose.yaml")["services"]["pool"]["stop_grace_period"]

    assert float(grace.removesuffix("s")) > 2 * of_compose().server.drain_seconds


# -- Kubernetes ----------------------------------------------------------------------------------


def test_everything_that_is_shipped_for_kubernetes_is_applied() -> None:
    listed = loaded(KUBERNETES / "kustomization.yaml")["resources"]

    files = {each.name for each in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}
    assert sorted(listed) == sorted(files)
    names = [(each["kind"], each["metadata"]["name"]) for each in manifests()]
    assert len(names) == len(set(names))


def test_credentials_are_where_subscriptions_may_run_and_nowhere_else() -> None:
    config = of_kubernetes()

    for name, pod in pods().items():
        given = variables(pod)
        assert (credentials(config) <= given) == name.startswith("worker"), name
        assert (keys(config) <= given) == (name == "api"), name
        assert given >= {*shipped(), "RAY_AUTH_TOKEN", "PGPASSWORD"}
        assert len({container(pod)["image"] for pod in pods().values()}) == 1


def test_every_node_of_ray_has_the_variables_that_are_shipped_for_nodes() -> None:
    (of_ray,) = of_kind("ConfigMap")

    assert shipped().items() <= of_ray["data"].items()
    assert all(isinstance(each, str) for each in of_ray["data"].values())  # it takes nothing else


def test_a_node_has_the_settings_that_a_ray_of_the_pools_own_is_started_with() -> None:
    """But for what is said of its use, which ``ray start`` has an option for. What a cluster has
    beyond that is its token and when a node is given up.
    """
    of_its_own = {**SETTINGS}
    del of_its_own["RAY_USAGE_STATS_ENABLED"]
    of_a_cluster = ("RAY_AUTH_MODE", "RAY_health_check_")

    of_a_node = {
        name: value for name, value in shipped().items() if not name.startswith(of_a_cluster)
    }
    assert of_its_own == of_a_node


def test_rays_object_store_fits_into_the_shared_memory_of_every_container() -> None:
    """Else Ray takes a disk for all of it."""
    (cluster,), api = of_kind("RayCluster"), str(container(pods()["api"])["args"])
    groups = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    stores = {each["rayStartParams"]["object-store-memory"] for each in groups}
    volumes = [each for pod in pods().values() for each in pod["spec"]["volumes"]]
    memory = [each["emptyDir"] for each in volumes if each["name"] == "shared-memory"]

    assert stores == {str(OBJECT_STORE_BYTES)}
    assert f"--object-store-memory={OBJECT_STORE_BYTES}" in api
    assert memory == [{"medium": "Memory", "sizeLimit": "1Gi"}] * len(pods())
    assert loaded(COMPOSE / "compose.yaml")["services"]["pool"]["shm_size"] == "1gb"
    assert OBJECT_STORE_BYTES < 1024**3


def test_every_pod_is_kept_small_and_has_the_pools_directory() -> None:
    config = of_kubernetes()

    for name, pod in pods().items():
        assert PART.items() <= pod["metadata"]["labels"].items(), name
        mounts = {each["mountPath"]: each["name"] for each in container(pod)["volumeMounts"]}
        volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
        assert set(mounts.values()) == set(volumes), name
        assert str(config.pool.data_dir) in mounts
        assert "/dev/shm" in mounts
        assert container(pod)["securityContext"]["allowPrivilegeEscalation"] is False
        assert f"--uid {pod['spec']['securityContext']['runAsUser']}" in DOCKERFILE
        assert {"readinessProbe", "livenessProbe"} <= container(pod).keys()


def test_each_worker_has_a_disk_of_its_own() -> None:
    claims = {each["metadata"]["name"] for each in of_kind("PersistentVolumeClaim")}
    workers = [pod for name, pod in pods().items() if name.startswith("worker")]

    used = [
        volume["persistentVolumeClaim"]["claimName"]
        for pod in workers
        for volume in pod["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    ]
    assert sorted(used) == sorted(claims)
    (cluster,) = of_kind("RayCluster")
    assert {each["maxReplicas"] for each in cluster["spec"]["workerGroupSpecs"]} == {1}


def test_ray_is_started_with_options_that_it_has_and_in_the_version_of_the_lock() -> None:
    (cluster,) = of_kind("RayCluster")
    spec = cluster["spec"]
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    (script,) = container(pods()["api"])["args"]
    commands = (DEPLOY / "ray" / "cluster.yaml").read_text(encoding="utf-8")

    given = {name for each in groups for name in each["rayStartParams"]}
    given |= set(re.findall(r"--([a-z-]+)", script.partition("&&")[0]))
    given |= set(re.findall(r"\s--([a-z-]+)=", commands))
    assert given - ray_options() == set()
    assert spec["rayVersion"] == version("ray")


def test_the_ports_between_pods_are_those_that_ray_is_told() -> None:
    policy, of_api = of_kind("NetworkPolicy")
    (cluster,) = of_kind("RayCluster")
    opened = [
        range(each["port"], each.get("endPort", each["port"]) + 1)
        for each in policy["spec"]["ingress"][0]["ports"]
    ]
    groups = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    (script,) = container(pods()["api"])["args"]
    told = {
        int(port)
        for each in groups
        for name, port in each["rayStartParams"].items()
        if name.endswith("port")
    } | {int(port) for port in re.findall(r"-port=(\d+)", script)}

    assert told
    assert [port for port in told if not any(port in each for each in opened)] == []
    assert policy["spec"]["podSelector"]["matchLabels"] == PART
    (rule,) = of_api["spec"]["ingress"]
    assert [each["port"] for each in rule["ports"]] == [of_kubernetes().server.port]


def test_the_api_joins_the_clusters_head_and_is_asked_at_addresses_that_exist() -> None:
    (cluster,), (service,) = of_kind("RayCluster"), of_kind("Service")
    api, (deployment,) = container(pods()["api"]), of_kind("Deployment")
    served = set(create_app(None, Keys({})).openapi()["paths"])  # type: ignore[arg-type]

    assert f"--address={cluster['metadata']['name']}-head-svc:6379" in api["args"][0]
    assert of_kubernetes().ray.address == "auto"
    probes = [each["httpGet"] for name, each in api.items() if name.endswith("Probe")]
    assert {each["path"] for each in probes} == {"/healthz", "/readyz"} <= served
    assert [each["containerPort"] for each in api["ports"]] == [of_kubernetes().server.port]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"] == labels
    assert deployment["spec"]["replicas"] > 1


def test_disruptions_are_bounded_for_pods_that_are_there() -> None:
    labels = [pod["metadata"]["labels"] for pod in pods().values()]

    budgets = [each["spec"] for each in of_kind("PodDisruptionBudget")]
    assert len(budgets) == 2
    for each in budgets:
        assert each["selector"]["matchLabels"] in labels
        assert ("minAvailable" in each) != ("maxUnavailable" in each)


def test_commands_that_are_run_are_the_pools() -> None:
    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    (script,) = container(pods()["api"])["args"]

    assert set(re.findall(r"claude-pool ([a-z]+) ", script)) <= known


# -- ray up --------------------------------------------------------------------------------------


def test_ray_takes_the_cluster_of_ray_up() -> None:
    cluster = loaded(DEPLOY / "ray" / "cluster.yaml")

    jsonschema.validate(cluster, json.loads(_RAY_SCHEMA.read_text(encoding="utf-8")))
    for name in ("head_start_ray_commands", "worker_start_ray_commands"):
        (_, started) = cluster[name]
        assert shipped().items() <= dict(re.findall(r"(RAY_\w+)=(\S+)", started)).items()
