"""TensorRT without a GPU: where engines are kept, what is said while they are built, what is refused."""

import logging
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from streamfilter.errors import DeviceError, ModelError
from streamfilter.scorer import Scorer
from streamfilter.sessions import Bound, Wanted, cuda, open_model, opening, tensorrt
from streamfilter.sessions.tensorrt import VARIABLE, EngineCache, cache_folder
from tests.models import SIZE, brightness_model


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "engines"))
    return tmp_path / "engines"


def cache(
    tmp_path: Path, precision: str = "fp16", gpu: str = "A GPU/80 GB", versions: tuple[str, ...] = ("v1",)
) -> EngineCache:
    return EngineCache(brightness_model(tmp_path / "m.onnx"), precision, gpu, versions)


def build(engines: EngineCache, size: int) -> None:
    with engines.options(size) as options:
        (Path(options["trt_engine_cache_path"]) / "x_sm90.engine").write_bytes(b"engine")


def test_the_cache_lies_where_the_user_says_or_in_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "streamfilter" / "tensorrt"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "streamfilter" / "tensorrt"
    monkeypatch.setenv(VARIABLE, str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    assert list(cache_folder().iterdir()) == []


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file"))
    with pytest.raises(DeviceError, match=f"cannot be kept in .*; set {VARIABLE}") as caught:
        cache_folder()
    assert "\n" not in str(caught.value)


def test_engines_are_told_before_and_after_and_kept(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    engines = cache(tmp_path)
    build(engines, 1)
    with engines.building((1, 2, 4)):
        build(engines, 2)
        build(engines, 4)
    with cache(tmp_path).building((1, 2, 4)):
        pass
    before, after, again = [record.getMessage() for record in caplog.records]
    assert before.startswith("building TensorRT engines of m in fp16 for batches of 2, 4 on A GPU/80 GB; this may take")
    assert before.endswith(f"kept in {engines.folder}")
    assert after == "TensorRT engines of m are built, in 0 s"
    assert again == f"TensorRT engines of m from {engines.folder}"
    assert sorted(path.name for path in folder.rglob("*.engine")) == ["x_sm90.engine"] * 3
    assert [path for path in folder.iterdir() if path.name.startswith(".")] == []


def test_an_engine_is_used_for_nothing_else(tmp_path: Path, folder: Path) -> None:
    build(cache(tmp_path), 1)
    assert cache(tmp_path).missing((1, 2)) == [2]
    assert cache(tmp_path, precision="fp32").missing((1,)) == [1]
    assert cache(tmp_path, gpu="Another").missing((1,)) == [1]
    assert cache(tmp_path, versions=("v2",)).missing((1,)) == [1]
    (tmp_path / "other").mkdir()
    assert cache(tmp_path / "other").missing((1,)) == []
    brightness_model(tmp_path / "other" / "m.onnx", tasks=("detection",))
    model = tmp_path / "other" / "m.onnx"
    assert EngineCache(model, "fp16", "A GPU/80 GB", ("v1",)).missing((1,)) == [1]


def test_what_was_cut_off_leaves_nothing(tmp_path: Path, folder: Path) -> None:
    engines = cache(tmp_path)

    def build_half() -> None:
        with engines.options(1) as options:
            (Path(options["trt_engine_cache_path"]) / "half.engine").write_bytes(b"")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_half()
    assert engines.missing((1,)) == [1]
    assert list(folder.iterdir()) == []


def test_a_model_that_tensorrt_does_not_take_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(DeviceError, match="TensorRT takes no part of m; use --device cuda"), cache(tmp_path).options(1):
        pass


def test_the_provider_is_told_the_precision_and_both_caches(tmp_path: Path, folder: Path) -> None:
    with cache(tmp_path, precision="fp32").options(8) as options:
        assert options["trt_fp16_enable"] == "False"
        assert options["trt_engine_cache_enable"] == options["trt_timing_cache_enable"] == "True"
        assert options["trt_timing_cache_path"] == str(folder)
        (Path(options["trt_engine_cache_path"]) / "x.engine").write_bytes(b"engine")
    with cache(tmp_path).options(8) as options:
        assert options["trt_fp16_enable"] == "True"
        (Path(options["trt_engine_cache_path"]) / "x.engine").write_bytes(b"engine")


def test_libraries_that_are_missing_name_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt, "LIBRARIES", ("libnosuchinfer.so.10",))
    monkeypatch.setattr(tensorrt, "WHEEL", "no_such_libs")
    offered = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    with pytest.raises(DeviceError, match=r'TensorRT 10 is not installed .*pip install "streamfilter\[tensorrt\]"'):
        Scorer(str(brightness_model(tmp_path / "m.onnx")), "tensorrt", 1)


@pytest.fixture
def in_place_of_tensorrt(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU provider runs what TensorRT would, and a file is written as an engine."""
    offered = onnxruntime.get_available_providers()
    start = opening._start

    def started(device, model, path, options, devices, size=1, hint=""):
        own = dict(devices[:1])["tensorrt"]
        (Path(own["trt_engine_cache_path"]) / "x_sm90.engine").write_bytes(b"engine")
        return start(device, model, path, options, ["tensorrt"], size, hint)

    monkeypatch.setitem(opening.PROVIDERS, "tensorrt", "CPUExecutionProvider")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    monkeypatch.setattr(tensorrt, "load_libraries", lambda: "101303")
    monkeypatch.setattr(cuda, "gpu_name", lambda: "A GPU")
    monkeypatch.setattr(opening, "_start", started)


@pytest.mark.usefixtures("in_place_of_tensorrt")
def test_each_batch_size_gets_a_session_and_an_engine_of_its_own(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = brightness_model(tmp_path / "m.onnx")
    opened = open_model(path, Wanted("tensorrt", 1, "fp16", 4))
    assert opened.device == "tensorrt"
    assert {size: session.get_inputs()[0].shape[0] for size, session in opened.sessions.items()} == {1: 1, 2: 2, 4: 4}
    grey = np.full((7, SIZE, SIZE, 3), 51, np.uint8)
    np.testing.assert_allclose(Bound(opened.sessions, (SIZE, SIZE), 2, "cpu")(grey), 0.2, atol=1e-6)
    assert "for batches of 1, 2, 4 on A GPU" in caplog.text
    assert len(list(folder.rglob("*.engine"))) == 3
    caplog.clear()
    open_model(path, Wanted("tensorrt", 1, "fp16", 8))
    assert "for batches of 8 on A GPU" in caplog.text


@pytest.mark.usefixtures("in_place_of_tensorrt")
def test_a_broken_file_is_no_fault_of_tensorrt(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"text")
    with pytest.raises(ModelError, match="not a readable ONNX model"):
        open_model(tmp_path / "m.onnx", Wanted("tensorrt", 1))
