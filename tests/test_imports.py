"""Who may import whom, read from the source; and that the door opens fast and without torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = (
    {"address", "digest", "errors", "frame", "interval"},
    {"canary", "config", "sessions", "spec", "web"},
    {"drift", "profile", "stream_config"},
    {"trust"},
    {
        "checks",
        "consumers",
        "distort",
        "health",
        "integrity",
        "metrics",
        "policy",
        "preprocess",
        "sinks",
        "sources",
    },
    {
        "buffer",
        "canary_monitor",
        "causes",
        "delivery",
        "ended",
        "monitor",
        "replacing",
        "reuse",
        "scorer",
        "serving",
        "stages",
    },
    {"diagnosis"},
    {"batch"},
    {"filter"},
    {"calibration", "pipeline", "progress", "stream"},
    {"report", "streams"},
    {"audit", "service"},
    {"cli"},
    {"__main__"},
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
MAY_MEET = {("frame", "errors")}
OUTSIDE = {
    "trainer": {
        "trainer",
        "streamfilter.consumers",
        "streamfilter.digest",
        "streamfilter.causes",
        "streamfilter.distort",
        "streamfilter.errors",
        "streamfilter.frame",
        "streamfilter.preprocess",
        "streamfilter.spec",
    },
    "export": {
        "export",
        "trainer.models",
        "trainer.rounding",
        "streamfilter.spec",
        "streamfilter.preprocess",
        "streamfilter.scorer",
        "streamfilter.errors",
    },
    "samples": {"streamfilter"},
    "benchmarks": {
        "benchmarks",
        "streamfilter",
        "streamfilter.distort",
        "trainer.causes",
        "trainer.networks",
        "trainer.rivals",
        "trainer.utility",
    },
}
OURS = ("streamfilter", "trainer", "export")


def imported(path: Path) -> set[str]:
    """Absolute names of every module a file imports, `from x import y` counted as x.y when y is a module."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            names |= {f"{node.module}.{alias.name}" if is_package(node.module) else node.module for alias in node.names}
    return names


def is_package(module: str) -> bool:
    return module.split(".")[0] in OURS and (ROOT / module.replace(".", "/")).is_dir()


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "streamfilter" and len(parts) > 1 and parts[1] in LEVEL else None


RUNTIME_FILES = sorted((ROOT / "streamfilter").rglob("*.py"))


@pytest.mark.parametrize("path", RUNTIME_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_runtime_imports_only_lower_rooms(path: Path) -> None:
    room = path.relative_to(ROOT / "streamfilter").parts[0].removesuffix(".py")
    if room in ("__init__", "models"):
        return
    for module in imported(path):
        other = room_of(module)
        if other is not None and other != room:
            allowed = LEVEL[other] < LEVEL[room] or (room, other) in MAY_MEET
            assert allowed, f"{room} may not import {other}"


@pytest.mark.parametrize("path", RUNTIME_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_runtime_never_imports_torch_or_the_trainer(path: Path) -> None:
    tops = {module.split(".")[0] for module in imported(path)}
    assert not tops & {"torch", "torchvision", "trainer", "export"}


@pytest.mark.parametrize("folder", OUTSIDE)
def test_other_rooms_enter_by_their_doors(folder: str) -> None:
    for path in sorted((ROOT / folder).rglob("*.py")):
        for module in imported(path):
            if module.split(".")[0] not in OURS:
                continue
            doors = OUTSIDE[folder]
            public = module.split(".")[0] == "streamfilter" and room_of(module) is None and "streamfilter" in doors
            through = any(module == door or module.startswith(door + ".") for door in doors - {"streamfilter"})
            assert public or through, f"{path.relative_to(ROOT)} may not import {module}"


def test_import_brings_nothing_heavy() -> None:
    code = (
        "import sys, streamfilter; print(sorted({m.split('.')[0] for m in sys.modules}"
        " & {'av','cv2','onnxruntime','torch','PIL'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
