"""The files of `samples/deploy`: they say what the program understands."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import click
import pytest

from streamfilter.cli import main
from streamfilter.sinks import SinkOptions, open_sink
from streamfilter.stream_config import read_streams

FOLDER = Path(__file__).parent.parent / "samples" / "deploy"
UNIT = (FOLDER / "streamfilter.service").read_text()
DOCKERFILE = (FOLDER / "Dockerfile").read_text()


def settings_of_unit() -> dict[str, str]:
    return dict(line.split("=", 1) for line in UNIT.splitlines() if re.match(r"\w+=", line))


def in_docker(instruction: str) -> list[str]:
    """The arguments of an instruction that is written as JSON."""
    found = re.search(rf"^ *{instruction} (\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert found is not None
    arguments: list[str] = json.loads(found[1])
    return arguments


COMMANDS = {
    "unit": settings_of_unit()["ExecStart"].split(),
    "Dockerfile": [*in_docker("ENTRYPOINT"), *re.findall(r'"([^"]*)"', DOCKERFILE.rpartition("\nCMD ")[2])],
}


def flags_of(command: click.Command) -> set[str]:
    return {flag for option in command.params for flag in option.opts}


@pytest.mark.parametrize("where", COMMANDS)
def test_the_program_knows_every_flag(where: str) -> None:
    program, *words = COMMANDS[where]
    before, after = words[: words.index("run")], words[words.index("run") + 1 :]
    assert Path(program).name == "streamfilter"
    assert isinstance(main, click.Group)
    assert {word for word in before if word.startswith("-")} <= flags_of(main)
    assert {word for word in after if word.startswith("-")} <= flags_of(main.commands["run"])


@pytest.mark.parametrize(("where", "address"), [("unit", "9090"), ("Dockerfile", "0.0.0.0:9090")])
def test_both_run_the_streams_file_with_metrics(where: str, address: str) -> None:
    words = COMMANDS[where]
    tail = ["--log-json", "run", "--config", "/etc/streamfilter/streams.toml", "--metrics", address]
    assert words[1:] == tail


def test_the_streams_file_is_accepted_and_its_targets_can_be_opened() -> None:
    _, streams = read_streams(FOLDER / "streams.toml")
    assert [stream.name for stream in streams] == ["gate", "yard"]
    for stream in streams:
        assert stream.out
        for target in stream.out:
            open_sink(target, SinkOptions()).abort()


def test_the_unit_is_hardened_and_comes_back() -> None:
    settings = settings_of_unit()
    assert {settings[name] for name in ("DynamicUser", "NoNewPrivileges", "PrivateTmp", "ProtectHome")} == {"yes"}
    assert settings["ProtectSystem"] == "strict"
    assert settings["Restart"] == "on-failure"
    assert settings["ExecReload"].endswith("kill -HUP $MAINPID")
    assert float(settings["TimeoutStopSec"]) > 2
    written = {stream["records"] for stream in streams_as_written() if "records" in stream}
    assert all(path.startswith(f"/var/lib/{settings['StateDirectory']}/") for path in written)


def streams_as_written() -> list[dict[str, str]]:
    streams: list[dict[str, str]] = tomllib.loads((FOLDER / "streams.toml").read_text())["stream"]
    return streams


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze: apt-get install systemd")
    unit = tmp_path / "streamfilter.service"
    unit.write_text(UNIT)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=60)
    complaints = [line for line in done.stderr.splitlines() if "streamfilter.service" in line]
    assert [line for line in complaints if "is not executable: No such file or directory" not in line] == []


def test_the_image_listens_where_it_says_and_runs_without_root() -> None:
    assert "EXPOSE 9090" in DOCKERFILE
    assert re.search(r"^USER (?!root)\w+", DOCKERFILE, re.MULTILINE)
    check = in_docker("CMD")
    assert check[:2] == ["python", "-c"]
    assert "127.0.0.1:9090/healthz" in check[2]
    compile(check[2], "HEALTHCHECK", "exec")


def test_what_the_image_copies_is_there_and_let_through() -> None:
    ignored = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    for line in re.findall(r"^COPY (.*) /\S+$", DOCKERFILE, re.MULTILINE):
        for name in line.split():
            assert (FOLDER.parent.parent / name).exists()
            assert f"!{name}" in ignored
