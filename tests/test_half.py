"""float16: the same input and output, convolutions in half, nearly the same utilities and the same decisions."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import skimage.data
from onnx import TensorProto, helper, numpy_helper

from streamfilter.errors import ModelError
from streamfilter.preprocess import shrink
from streamfilter.scorer import Scorer, shipped_models
from streamfilter.sessions.half import in_half
from streamfilter.spec import ModelSpec
from tests.models import brightness_model

NAMES = ("astronaut", "coffee", "chelsea", "rocket")
QUALITIES = (90, 30, 10, 3)
ROUNDING = 0.01
"""A utility moves by less; one nearer than this to its threshold may be decided on either way."""


def photographs(spec: ModelSpec) -> list[np.ndarray]:
    found = []
    for name in NAMES:
        picture = getattr(skimage.data, name)()
        for quality in QUALITIES:
            coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            found.append(shrink(cv2.imdecode(coded, cv2.IMREAD_COLOR), spec.input_size, spec.fit))
    return found


@pytest.mark.parametrize("name", shipped_models())
def test_shipped_models_decide_the_same_in_float16(name: str) -> None:
    single, half = Scorer(name, "cpu", 1), Scorer(name, "cpu", 1, "fp16")
    assert half.spec == single.spec
    assert half.sha256 == single.sha256
    images = photographs(single.spec)
    expected, scores = single.score(images), half.score(images)
    assert scores.dtype == np.float32
    assert 0 < np.abs(scores - expected).max() <= ROUNDING
    thresholds = np.array([single.spec.thresholds[task] for task in single.spec.tasks])
    decided = np.abs(expected - thresholds) > ROUNDING
    assert decided.mean() > 0.9
    np.testing.assert_array_equal((scores >= thresholds)[decided], (expected >= thresholds)[decided])


@pytest.mark.parametrize("name", shipped_models())
def test_convolutions_and_their_weights_are_float16(name: str) -> None:
    graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(in_half(shipped_models()[name]))).graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.output)}
    weights = {tensor.name: tensor.data_type for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert len(convolutions) >= 20
    assert {kinds[node.output[0]] for node in convolutions} == {TensorProto.FLOAT16}
    assert {weights[node.input[1]] for node in convolutions} == {TensorProto.FLOAT16}
    assert graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    assert graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT


def test_a_model_without_convolutions_stays_as_it_is(tmp_path: Path) -> None:
    path = brightness_model(tmp_path / "m.onnx")
    picture = np.full((1, 32, 32, 3), 51, np.uint8)
    np.testing.assert_allclose(Scorer(str(path), "cpu", 1, "fp16").score(picture), 0.2, atol=1e-6)


def test_a_weight_that_both_sides_use_is_kept_for_both(tmp_path: Path) -> None:
    path = brightness_model(tmp_path / "m.onnx")
    model = onnx.load(path)
    weights = np.eye(32, dtype=np.float32)[:, :, None, None] / 255
    model.graph.initializer.append(numpy_helper.from_array(weights, "weights"))
    convolution = [helper.make_node("Mul", ["floats", "white"], ["whiter"]),
                   helper.make_node("Div", ["whiter", "white"], ["same"]),
                   helper.make_node("Conv", ["same", "weights"], ["seen"])]  # fmt: skip
    mean = next(node for node in model.graph.node if node.op_type == "ReduceMean")
    mean.input[0] = "seen"
    at = list(model.graph.node).index(mean)
    nodes = [*model.graph.node[:at], *convolution, *model.graph.node[at:]]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, path)
    picture = np.full((1, 32, 32, 3), 255, np.uint8)
    single, half = (Scorer(str(path), "cpu", 1, precision).score(picture) for precision in ("fp32", "fp16"))
    np.testing.assert_allclose(half, single, atol=1e-4)


def test_what_is_no_model_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "wrong.onnx"
    path.write_bytes(b"text")
    with pytest.raises(ModelError, match="not a readable ONNX model") as caught:
        Scorer(str(path), "cpu", 1, "fp16")
    assert "\n" not in str(caught.value)
