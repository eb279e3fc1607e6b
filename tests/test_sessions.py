"""Batches in fixed sizes and out of bound memory say what plain ones say; devices that are not there are refused."""

import gc
import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from streamfilter.errors import DeviceError
from streamfilter.scorer import Scorer, shipped_models
from streamfilter.sessions import LADDER, Bound, Plain, Wanted, cuda, open_model, opening
from streamfilter.sessions.runs import ladder_to
from tests.models import SIZE, brightness_model


def pictures(count: int, side: int = SIZE) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, side, side, 3), np.uint8)


def session_of(path: Path, size: int | None = None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    if size is not None:
        options.add_free_dimension_override_by_name("N", size)
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def bound_to(path: Path, **changes: object) -> Bound:
    return Bound(
        dict.fromkeys(LADDER, session_of(path)), **{"hw": (SIZE, SIZE), "tasks": 2, "memory": "cpu", **changes}
    )


@pytest.mark.parametrize(
    ("batch_size", "sizes"),
    [(1, (1,)), (2, (1, 2)), (8, (1, 2, 4, 8)), (9, (1, 2, 4, 8, 16)), (64, LADDER), (512, LADDER)],
)
def test_the_ladder_ends_where_the_batch_fits(batch_size: int, sizes: tuple[int, ...]) -> None:
    assert ladder_to(batch_size) == sizes


@pytest.mark.parametrize("count", [1, 2, 3, 8, 33, 64, 65, 150])
def test_padded_and_split_batches_score_as_plain_ones(tmp_path: Path, count: int) -> None:
    path = brightness_model(tmp_path / "m.onnx")
    bound = bound_to(path)
    bound.warm_up()
    expected = Plain(session_of(path))(pictures(count))
    np.testing.assert_allclose(bound(pictures(count)), expected, atol=1e-6)
    np.testing.assert_allclose(bound(list(pictures(count))), expected, atol=1e-6)


def test_a_session_a_size_scores_the_same(tmp_path: Path) -> None:
    path = brightness_model(tmp_path / "m.onnx")
    sessions = {size: session_of(path, size) for size in (1, 2, 4)}
    assert [session.get_inputs()[0].shape[0] for session in sessions.values()] == [1, 2, 4]
    bound = Bound(sessions, (SIZE, SIZE), 2, "cpu")
    np.testing.assert_allclose(bound(pictures(11)), Plain(session_of(path))(pictures(11)), atol=1e-6)


def test_a_shipped_model_scores_the_same_out_of_bound_memory() -> None:
    scorer = Scorer("utility-nano", "cpu", 1)
    side = scorer.spec.input_size
    bound = Bound(dict.fromkeys((1, 2, 4), session_of(scorer.path)), scorer.spec.input_hw, 2, "cpu")
    np.testing.assert_allclose(bound(pictures(7, side)), scorer.score(pictures(7, side)), atol=1e-5)


def test_answers_are_not_overwritten_by_the_next_batch(tmp_path: Path) -> None:
    bound = bound_to(brightness_model(tmp_path / "m.onnx"))
    first = bound(np.full((3, SIZE, SIZE, 3), 255, np.uint8))
    bound(np.zeros((4, SIZE, SIZE, 3), np.uint8))
    np.testing.assert_allclose(first, 1, atol=1e-6)


def test_threads_do_not_share_a_place(tmp_path: Path) -> None:
    path = brightness_model(tmp_path / "m.onnx")
    bound, plain = bound_to(path), Plain(session_of(path))
    batches = [pictures(count) for count in [5, 6, 7, 8] * 20]
    with ThreadPoolExecutor(4) as pool:
        for batch, scores in zip(batches, pool.map(bound, batches, timeout=60), strict=True):
            np.testing.assert_allclose(scores, plain(batch), atol=1e-6)


def test_memory_is_pinned_once_a_place(tmp_path: Path) -> None:
    pinned: list[np.ndarray] = []
    bound = bound_to(brightness_model(tmp_path / "m.onnx"), pin=pinned.append)
    for _ in range(3):
        bound(pictures(3))
    assert [buffer.shape[0] for buffer in pinned] == [4]


def test_a_device_that_fails_is_told_in_one_line(tmp_path: Path) -> None:
    bound = bound_to(brightness_model(tmp_path / "m.onnx"), tasks=3)
    with pytest.raises(DeviceError, match=r"failed while it scored 2 pictures .*--device cpu") as caught:
        bound(pictures(2))
    assert "\n" not in str(caught.value)


class Runtime:
    """What pinning calls of the CUDA runtime."""

    def __init__(self, answer: int) -> None:
        self.answer, self.held, self.last_error = answer, set[int](), answer

    def cudaHostRegister(self, address, size, flags):
        self.held.add(address.value)
        return self.answer

    def cudaHostUnregister(self, address):
        self.held.discard(address.value)
        return 0

    def cudaGetLastError(self):
        self.last_error = 0


def test_pinned_memory_is_let_go_with_its_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = Runtime(0)
    monkeypatch.setattr(cuda.ctypes, "CDLL", lambda name: runtime)
    pin, buffer = cuda.Pinning("13.0"), np.zeros(16, np.uint8)
    assert pin(buffer) is True
    assert runtime.held == {buffer.ctypes.data}
    del buffer
    gc.collect()
    assert runtime.held == set()


def test_memory_that_cannot_be_pinned_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert cuda.Pinning("0.0")(np.zeros(16, np.uint8)) is False
    runtime = Runtime(2)
    monkeypatch.setattr(cuda.ctypes, "CDLL", lambda name: runtime)
    assert cuda.Pinning("13.0")(np.zeros(16, np.uint8)) is False
    assert runtime.last_error == 0
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "host memory is not pinned, and copied more slowly"
    ] * 2
    assert caplog.records[1].getMessage().endswith("CUDA error 2")


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_provider_that_is_not_installed_is_refused(tmp_path: Path, device: str) -> None:
    if opening.PROVIDERS[device] in onnxruntime.get_available_providers():
        pytest.skip(f"this ONNX Runtime has {device}")
    with pytest.raises(DeviceError, match=rf"install streamfilter\[{device}\] .* or use --device cpu"):
        Scorer(str(brightness_model(tmp_path / "m.onnx")), device, 1)


def not_started(path: Path, wanted: Wanted) -> dict[int, onnxruntime.InferenceSession]:
    raise DeviceError("CUDA could not be started")


def test_auto_says_that_it_goes_on_without_cuda_and_cuda_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = brightness_model(tmp_path / "m.onnx")
    offered = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    monkeypatch.setitem(opening._OPENERS, "cuda", not_started)
    assert open_model(path, Wanted("auto", 1)).device == "cpu"
    assert "device auto: cpu, because CUDA could not be started" in caplog.text
    with pytest.raises(DeviceError, match="could not be started"):
        open_model(path, Wanted("cuda", 1))


@pytest.mark.filterwarnings("ignore:Duplicate provider")
def test_with_cuda_one_session_runs_all_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(opening.PROVIDERS, "cuda", "CPUExecutionProvider")
    opened = open_model(brightness_model(tmp_path / "m.onnx"), Wanted("cuda", 1, batch_size=6))
    assert opened.device == "cuda"
    assert list(opened.sessions) == [1, 2, 4, 8]
    assert len(set(opened.sessions.values())) == 1


@pytest.mark.filterwarnings("ignore:Duplicate provider")
def test_cuda_multiplies_in_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    make = onnxruntime.InferenceSession

    def session(*args: object, providers: list[object], **options: object) -> onnxruntime.InferenceSession:
        asked.append(providers[0])
        return make(*args, providers=["CPUExecutionProvider"], **options)

    monkeypatch.setitem(opening.PROVIDERS, "cuda", "CPUExecutionProvider")
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    open_model(brightness_model(tmp_path / "m.onnx"), Wanted("cuda", 1))
    assert asked == [("CPUExecutionProvider", {"use_tf32": "0"})]


@pytest.mark.filterwarnings("ignore:Duplicate provider")
def test_a_provider_that_does_not_come_up_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(opening.PROVIDERS, "cuda", "CPUExecutionProvider")
    monkeypatch.setattr(onnxruntime.InferenceSession, "get_providers", lambda self: ["Another"])
    with pytest.raises(DeviceError, match=r"offers CUDA but could not start it \(.*use --device cpu") as caught:
        open_model(brightness_model(tmp_path / "m.onnx"), Wanted("cuda", 1))
    assert "\n" not in str(caught.value)


def failure_of_cuda(number: int, words: str) -> str:
    where = "/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:154 std::conditional_t<THRW, void, Status> "
    return f"{2 * where}CUDA failure {number}: {words} ; GPU=-1 ; hostname=vm ; expr=cudaSetDevice(info_.device_id); \n"


@pytest.mark.filterwarnings("ignore:Duplicate provider")
@pytest.mark.parametrize(
    ("number", "words", "cure"),
    [
        (35, "CUDA driver version is insufficient for CUDA runtime version", "install a newer NVIDIA driver"),
        (100, "no CUDA-capable device is detected", "check the GPU with nvidia-smi"),
    ],
)
def test_what_cuda_says_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str, cure: str
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError(failure_of_cuda(number, words))

    monkeypatch.setitem(opening.PROVIDERS, "cuda", "CPUExecutionProvider")
    monkeypatch.setattr(opening, "_run_once", fails)
    with pytest.raises(DeviceError) as caught:
        open_model(brightness_model(tmp_path / "m.onnx"), Wanted("cuda", 1))
    told = (
        f"ONNX Runtime offers CUDA but could not start it (CUDA failure {number}: {words}); {cure}, or use --device cpu"
    )
    assert str(caught.value) == told


def test_libraries_are_loaded_from_wherever_their_wheels_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    class Runtime:
        @staticmethod
        def preload_dlls(directory: str | None = None) -> None:
            asked.append(directory)

    folders = [tmp_path / "site" / "nvidia" / part / "lib" for part in ("cu13", "cudnn")]
    for folder in folders:
        folder.mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "nvidia", raising=False)
    cuda.preload(Runtime)
    assert [str(folder) for folder in folders] == asked[: len(folders)]
    assert asked[-1] is None


def test_without_a_driver_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "DRIVER", "libnosuchdriver.so")
    with pytest.raises(DeviceError, match=r"no NVIDIA driver here \(libnosuchdriver.*use --device cpu"):
        cuda.gpu_name()


@pytest.mark.parametrize("name", shipped_models())
def test_a_graph_with_a_fixed_batch_is_checked_with_it(name: str, tmp_path: Path) -> None:
    session = session_of(shipped_models()[name], 4)
    assert session.get_inputs()[0].shape[0] == 4
    images = np.random.default_rng(4).integers(0, 256, session.get_inputs()[0].shape, np.uint8)
    assert session.run(None, {"images": images})[0].shape == (4, 2)
