"""What `pip install` brings: the wheel's files and its requirements."""

import re
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", folder, ROOT], check=True, timeout=240)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_ships_the_runtime_with_its_models_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert {re.sub(r"/.*", "", name) for name in names} <= {"streamfilter", "streamfilter-0.1.0.dist-info"}
    shipped = {name for name in names if name.startswith("streamfilter/models/")}
    there = {f"streamfilter/models/{path.name}" for path in (ROOT / "streamfilter" / "models").iterdir()}
    assert shipped == there
    assert {f"streamfilter/models/utility-{name}.onnx" for name in ("nano", "resnet18")} <= set(shipped)
    pages = {f"streamfilter/monitor/page/{path.name}" for path in (ROOT / "streamfilter/monitor/page").iterdir()}
    assert pages <= set(names)
    assert {"streamfilter/py.typed", "streamfilter/sources/video.py", "streamfilter/sinks/records.py"} <= set(names)
    pages = {
        f"streamfilter/report/templates/{path.name}" for path in (ROOT / "streamfilter/report/templates").iterdir()
    }
    assert pages <= set(names)


def test_the_runtime_requires_no_torch(wheel: zipfile.ZipFile) -> None:
    name = next(name for name in wheel.namelist() if name.endswith("METADATA"))
    required = Parser().parsestr(wheel.read(name).decode()).get_all("Requires-Dist") or []
    of_the_runtime = [line for line in required if "extra" not in line or 'extra == "cpu"' in line]
    packages = {re.split(r"[^A-Za-z0-9-]", line)[0] for line in of_the_runtime}
    assert packages == {"av", "click", "numpy", "onnxruntime", "opencv-python-headless", "pillow"}
