"""The commands for people: plain bash, executable, and careful."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
COMMANDS = sorted(path for path in (ROOT / "scripts").iterdir() if path.is_file() and not path.name.startswith("_"))
ALL = [*COMMANDS, ROOT / "scripts" / "_env", ROOT / ".ci" / "run"]
LINES_MAX = 60


def by_name(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=[path.name for path in paths])


@by_name([path for path in ALL if path.name != "_env"])
def test_it_can_be_started(path: Path) -> None:
    text = path.read_text("utf-8")
    assert os.access(path, os.X_OK), f"chmod +x {path.name}"
    assert text.startswith("#!/usr/bin/env bash\n# "), "the second line says what it is for"
    assert text.count("\n") <= LINES_MAX
    assert "set -euo pipefail" in text or "_env" in text, "stop at the first error"


@by_name(ALL)
def test_bash_understands_it(path: Path) -> None:
    done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@by_name(ALL)
@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck on this machine")
def test_shellcheck_finds_nothing(path: Path) -> None:
    done = subprocess.run(
        ["shellcheck", "--external-sources", "--source-path=SCRIPTDIR", str(path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@by_name(ALL)
def test_it_needs_no_other_script_that_is_missing(path: Path) -> None:
    named = set(re.findall(r"\./((?:scripts|\.ci)/[\w.]+)", path.read_text("utf-8")))
    assert not [name for name in named if not (ROOT / name).is_file()]


# ---------------------------------------------------------------- scripts/_env


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with a Python that only pretends: it notes what it is asked to do."""
    scripts = tmp_path / "clone" / "scripts"
    scripts.mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "_env", scripts)
    (scripts.parent / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    program = scripts / "hello"
    program.write_text('. "$(dirname "${BASH_SOURCE[0]}")/_env" dev\necho "in $PWD"\n')
    fake = tmp_path / "bin" / "python3.11"
    fake.parent.mkdir()
    fake.write_text(
        "#!/usr/bin/env bash\n"
        f'echo "$*" >>"{tmp_path}/asked"\n'
        f'if [ -e "{tmp_path}/broken" ] && [ "$2" = pip ]; then echo no network; exit 1; fi\n'
        'if [ "$1 $2" = "-m venv" ]; then mkdir -p .venv/bin; cp "$0" .venv/bin/python; fi\n'
    )
    fake.chmod(0o755)
    for name in ("python3.13", "python3.12"):
        (fake.parent / name).symlink_to("/bin/false")
    return scripts.parent


def start(clone: Path) -> subprocess.CompletedProcess[str]:
    path = f"{clone.parent}/bin:{os.environ['PATH']}"
    command = ["bash", str(clone / "scripts" / "hello")]
    return subprocess.run(command, env={"PATH": path}, cwd=clone.parent, capture_output=True, text=True, timeout=30)


def installs(clone: Path) -> int:
    asked = (clone.parent / "asked").read_text().splitlines()
    return sum(line.startswith("-m pip install") and line.endswith("-e .[dev]") for line in asked)


def test_it_installs_once_and_again_after_a_change(clone: Path) -> None:
    first = start(clone)
    assert first.returncode == 0, first.stderr
    assert first.stdout == f"in {clone}\n"
    assert len(first.stderr.splitlines()) == 1, "one line says what takes so long"
    second = start(clone)
    assert (second.stdout, second.stderr) == (first.stdout, "")
    assert installs(clone) == 1
    with (clone / "pyproject.toml").open("a") as project:
        project.write("version = '2'\n")
    assert start(clone).returncode == 0
    assert installs(clone) == 2


def test_a_failed_install_says_why_and_is_tried_again(clone: Path) -> None:
    broken = clone.parent / "broken"
    broken.touch()
    failed = start(clone)
    assert failed.returncode != 0
    assert "no network" in failed.stderr
    assert "in " not in failed.stdout
    broken.unlink()
    assert start(clone).returncode == 0
