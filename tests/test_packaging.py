"""What is shipped: the wheel, and the files for containers."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
LUA = ROOT / "durastream" / "store" / "lua"


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return found


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of the files in a wheel built from this tree, with the tools of this environment."""
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(next(target.glob("*.whl"))) as wheel:
        return set(wheel.namelist())


def test_the_wheel_has_the_scripts_and_the_types(shipped: set[str]) -> None:
    wanted = {f"durastream/store/lua/{path.name}" for path in LUA.glob("*.lua")} | {"durastream/py.typed"}
    assert len(wanted) > 10
    assert wanted <= shipped


def test_the_wheel_has_all_modules_and_nothing_else(shipped: set[str]) -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "durastream").rglob("*.py")}
    assert modules <= shipped
    assert all(name.startswith(("durastream/", "durastream-")) for name in shipped)


def test_the_entry_point_exists(project: dict[str, Any]) -> None:
    module, _, name = project["scripts"]["durastream"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))


# ---------------------------------------------------------------- containers


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    return found


def test_compose_has_a_redis_that_keeps_what_it_acknowledged(compose: dict[str, Any]) -> None:
    redis = compose["services"]["redis"]
    options = dict(zip(redis["command"][1::2], redis["command"][2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "everysec"
    assert options["--maxmemory-policy"] == "noeviction"
    assert any(volume.endswith(":/data") for volume in redis["volumes"])


def test_compose_has_two_workers_that_wait_for_it(compose: dict[str, Any]) -> None:
    workers = [one for name, one in compose["services"].items() if name.startswith("worker")]
    assert len(workers) == 2
    for worker in workers:
        assert worker["command"] == ["worker", "workers.quickstart:app"]
        assert worker["depends_on"] == {"redis": {"condition": "service_healthy"}}
        assert worker["environment"]["DURASTREAM_REDIS_URL"] == "redis://redis:6379"
    assert all("test" in one["healthcheck"] for one in compose["services"].values())


def test_the_image_is_made_of_files_that_exist() -> None:
    lines = (ROOT / "Dockerfile").read_text("utf-8").splitlines()
    copied = [name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert copied
    for name in copied:
        assert (ROOT / name).exists(), f"Dockerfile copies {name}, which does not exist"
        assert f"!{name}" in ignored, f".dockerignore keeps {name} away"


def test_the_license_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
