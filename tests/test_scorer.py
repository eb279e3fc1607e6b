"""The scorer against models whose output can be worked out, and against broken files."""

from pathlib import Path

import numpy as np
import pytest

from streamfilter.errors import DeviceError, ModelError, ShapeError
from streamfilter.scorer import Scorer, find_model, shipped_models
from tests.models import SIZE, brightness_model


def grey(value: int) -> np.ndarray:
    return np.full((SIZE, SIZE, 3), value, np.uint8)


def test_scores_a_batch_one_column_a_task(tmp_path: Path) -> None:
    scorer = Scorer(str(brightness_model(tmp_path / "m.onnx")), "cpu", 1)
    scores = scorer.score([grey(0), grey(51), grey(255)])
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, [[0, 0], [0.2, 0.2], [1, 1]], atol=1e-6)


def test_an_empty_batch_is_fine(tmp_path: Path) -> None:
    assert Scorer(str(brightness_model(tmp_path / "m.onnx")), "cpu", 1).score([]).shape == (0, 2)


def test_wrong_shape_says_expected_and_actual(tmp_path: Path) -> None:
    scorer = Scorer(str(brightness_model(tmp_path / "m.onnx")), "cpu", 1)
    with pytest.raises(ShapeError, match=r"expected \(N, 32, 32, 3\) uint8, got \(1, 16, 16, 3\)"):
        scorer.score([np.zeros((16, 16, 3), np.uint8)])


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("streamfilter.input_size", None, "lacks streamfilter.input_size"),
        ("streamfilter.input_size", "7", "input_size 7"),
        ("streamfilter.tasks", "{", "unreadable model spec"),
        ("streamfilter.tasks", '["segmentation"]', "known: classification, detection"),
        ("streamfilter.fit", '"crop"', "known: stretch"),
        ("streamfilter.spec_version", "99", "this program reads 1"),
        ("streamfilter.thresholds", '{"classification": 2, "detection": 0.5}', "outside 0-1"),
    ],
)
def test_a_bad_spec_is_refused(tmp_path: Path, key: str, value: str | None, expected: str) -> None:
    model = brightness_model(tmp_path / "m.onnx", **{key: value})
    with pytest.raises(ModelError, match=expected):
        Scorer(str(model), "cpu", 1)


def test_a_graph_unlike_its_spec_is_refused(tmp_path: Path) -> None:
    model = brightness_model(
        tmp_path / "m.onnx", **{"streamfilter.tasks": '["detection"]', "streamfilter.thresholds": '{"detection": 0.5}'}
    )
    with pytest.raises(ModelError, match=r"gives \(2, 2\) for 2 pictures and 1 tasks"):
        Scorer(str(model), "cpu", 1)


def test_corrupt_file(tmp_path: Path) -> None:
    whole = brightness_model(tmp_path / "m.onnx").read_bytes()
    for index, content in enumerate((b"", b"not a model", whole[: len(whole) // 2], bytes(500))):
        path = tmp_path / f"{index}.onnx"
        path.write_bytes(content)
        with pytest.raises(ModelError) as caught:
            Scorer(str(path), "cpu", 1)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_unknown_name_lists_what_ships() -> None:
    with pytest.raises(ModelError, match="utility-resnet18"):
        find_model("utility-resnet99")


def test_cuda_without_cuda_is_refused(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has CUDA")
    with pytest.raises(DeviceError, match="--device cpu"):
        Scorer(str(brightness_model(tmp_path / "m.onnx")), "cuda", 1)


@pytest.mark.parametrize("name", shipped_models())
def test_every_shipped_model_loads_scores_and_has_its_card(name: str) -> None:
    scorer = Scorer(name, "cpu", 1)
    pictures = np.random.default_rng(0).integers(0, 256, (3, *scorer.spec.input_hw, 3), np.uint8)
    one_by_one = np.concatenate([scorer.score(pictures[index : index + 1]) for index in range(3)])
    np.testing.assert_allclose(scorer.score(pictures), one_by_one, atol=1e-4)
    assert scorer.spec.name == name
    assert scorer.path.with_suffix(".md").is_file()
    assert {"command", "seed", "commit", "networks"} <= set(scorer.spec.training)


def test_shipped_models_stay_under_30_megabytes() -> None:
    assert 0 < sum(path.stat().st_size for path in shipped_models().values()) <= 30_000_000
