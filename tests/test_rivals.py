"""The classical scores, held against numbers from elsewhere: by hand, by libjpeg, by other programs."""

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import skimage.data
from onnx import helper, numpy_helper
from PIL import Image

from streamfilter.distort import PRISTINE, Distortion, apply
from streamfilter.errors import ModelError, PictureError
from tests.tiny_networks import colour_classifier, fixed_detector
from trainer.rivals import RIVALS, Case, Classifier
from trainer.rivals.classifier import energy, fisher_information
from trainer.rivals.filters import WORST_BLOCK, WORST_BLUR
from trainer.rivals.jpeg import NOT_JPEG_QUALITY, jpeg_file, quality_of

PHOTOGRAPH = np.ascontiguousarray(skimage.data.chelsea()[:256, :256])
KIT_NETWORKS = Path(__file__).parent.parent.parent / "shared" / "kit" / "networks"


def case_of(rgb: np.ndarray, distortion: Distortion | None = None) -> Case:
    """The picture as it is, or distorted."""
    chosen = distortion or Distortion(PRISTINE)
    return Case(apply(rgb, chosen), rgb, chosen)


def scored(name: str, *cases: Case) -> list[float]:
    return [RIVALS[name].score(case) for case in cases]


@pytest.mark.parametrize("name", ["variance_of_laplacian", "blurdetect", "brisque", "ssim"])
def test_blur_lowers_the_score(name: str) -> None:
    sharp, soft, softer = scored(
        name,
        case_of(PHOTOGRAPH),
        *(Case(cv2.GaussianBlur(PHOTOGRAPH, (0, 0), sigma), PHOTOGRAPH, Distortion(PRISTINE)) for sigma in (1.5, 3)),
    )
    assert sharp > soft > softer


@pytest.mark.parametrize("name", ["bits_per_pixel", "blockdetect", "brisque", "ssim", "jpeg_quality"])
@pytest.mark.parametrize("photograph", ["astronaut", "coffee", "chelsea"])
def test_hard_jpeg_lowers_the_score(name: str, photograph: str) -> None:
    rgb = np.ascontiguousarray(getattr(skimage.data, photograph)()[:256, :256])
    hard, middling, mild = scored(name, *(case_of(rgb, Distortion("jpeg", quality)) for quality in (3, 20, 90)))
    assert hard < middling < mild


def test_variance_of_laplacian_of_one_dot() -> None:
    dot = np.zeros((10, 10, 3), np.uint8)
    dot[5, 5] = 100
    # One pixel of -400 and four of 100 among a hundred; their mean is 0.
    assert scored("variance_of_laplacian", case_of(dot)) == [(400**2 + 4 * 100**2) / 100]


@pytest.mark.parametrize(("photograph", "package"), [("coffee", 11.6508), ("chelsea", 5.0372), ("astronaut", -5.5816)])
def test_brisque_is_that_of_the_package(photograph: str, package: float) -> None:
    rgb = np.ascontiguousarray(getattr(skimage.data, photograph)()[:256, :256])
    assert scored("brisque", case_of(rgb)) == [pytest.approx(-package, abs=0.02)]


def test_brisque_of_a_blurred_picture_is_that_of_the_package() -> None:
    blurred = cv2.GaussianBlur(PHOTOGRAPH, (0, 0), 3)
    assert scored("brisque", case_of(blurred)) == [pytest.approx(-78.9317, abs=0.02)]


def test_pictures_without_anything_in_them_get_the_worst_values() -> None:
    flat = case_of(np.full((64, 48, 3), 90, np.uint8))
    assert scored("variance_of_laplacian", flat) == [0]
    assert scored("brisque", flat) == [pytest.approx(-155.845)]
    assert scored("blockdetect", flat) == [-WORST_BLOCK]
    assert scored("blurdetect", flat) == [-WORST_BLUR]


@pytest.mark.parametrize("name", RIVALS)
@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (7, 3), (33, 47)])
def test_every_size_has_a_finite_score(name: str, shape: tuple[int, int]) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    for case in (case_of(rgb), case_of(rgb, Distortion("jpeg", 5))):
        assert np.isfinite(scored(name, case)).all()


def test_ssim_of_the_same_picture_is_one() -> None:
    assert scored("ssim", case_of(PHOTOGRAPH)) == [pytest.approx(1)]


@pytest.mark.parametrize("quality", range(1, 101))
def test_quality_is_read_back_from_files(quality: int) -> None:
    small = PHOTOGRAPH[:24, :24]
    by_pil = BytesIO()
    Image.fromarray(small).save(by_pil, "JPEG", quality=quality)
    by_opencv = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    assert quality_of(by_pil.getvalue()) == quality
    assert quality_of(by_opencv) == quality
    assert scored("jpeg_quality", case_of(small, Distortion("jpeg", quality))) == [quality]


def test_quality_of_another_table_is_the_nearest() -> None:
    table = [min(255, 2 * step + 1) for step in Image.open(BytesIO(_jpeg(50))).quantization[0]]
    file = BytesIO()
    Image.fromarray(PHOTOGRAPH).save(file, "JPEG", qtables=[table, table])
    assert quality_of(file.getvalue()) == 25


def _jpeg(quality: int) -> bytes:
    file = BytesIO()
    Image.fromarray(PHOTOGRAPH).save(file, "JPEG", quality=quality)
    return file.getvalue()


@pytest.mark.parametrize("broken", [b"", b"no picture", b"\xff\xd8\xff\xe0"])
def test_no_quality_in_a_broken_file(broken: bytes) -> None:
    with pytest.raises(PictureError, match="no quality"):
        quality_of(broken)


@pytest.mark.parametrize("distortion", [Distortion(PRISTINE), Distortion("defocus", 2)])
def test_pictures_that_are_no_jpeg(distortion: Distortion) -> None:
    case = case_of(PHOTOGRAPH, distortion)
    assert jpeg_file(case) is None
    assert scored("jpeg_quality", case) == [NOT_JPEG_QUALITY]
    at_90 = cv2.imencode(
        ".jpg",
        case.rgb[:, :, ::-1],
        [cv2.IMWRITE_JPEG_QUALITY, 90, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420],
    )[1]
    assert scored("bits_per_pixel", case) == [len(at_90) * 8 / 256**2]


@pytest.mark.parametrize("distortion", [Distortion("jpeg", 7), Distortion("defocus+jpeg", 3)])
def test_the_file_is_the_one_the_picture_was_decoded_from(distortion: Distortion) -> None:
    case = case_of(PHOTOGRAPH, distortion)
    file = jpeg_file(case)
    assert file is not None
    decoded = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    np.testing.assert_array_equal(decoded, case.rgb)
    assert scored("bits_per_pixel", case) == [len(file) * 8 / 256**2]


def test_energy_and_fisher_information_by_hand(tmp_path: Path) -> None:
    classifier = Classifier(colour_classifier(tmp_path / "colour.onnx", gain=12))
    colour = (255, 51, 0)
    case = case_of(np.full((20, 30, 3), colour, np.uint8))
    # Logits: 12 and 2.4 for red and green, 0 for the 998 others.
    partition = np.exp(12) + np.exp(2.4) + 998
    squares = (np.exp(24) + np.exp(4.8) + 998) / partition**2
    assert classifier.names == ("energy", "fisher_information")
    assert classifier(case) == (pytest.approx(np.log(partition), rel=1e-5), pytest.approx(squares - 1, rel=1e-4))


def test_certainty_is_worth_more_than_doubt() -> None:
    doubt, certainty = np.zeros(4), np.array([50.0, 0, 0, 0])
    assert fisher_information(doubt) == pytest.approx(1 / 4 - 1)
    assert fisher_information(certainty) == pytest.approx(0)
    assert energy(doubt) == pytest.approx(np.log(4))
    assert energy(certainty + 1000) == pytest.approx(1050)


def test_the_network_s_file_is_left_as_it_is(tmp_path: Path) -> None:
    path = colour_classifier(tmp_path / "colour.onnx")
    before = path.read_bytes()
    Classifier(path)
    assert path.read_bytes() == before


def test_the_softmax_is_found_behind_other_nodes(tmp_path: Path) -> None:
    """As in networks that compute a class more than they give."""
    path = colour_classifier(tmp_path / "colour.onnx")
    model = onnx.load(path)
    softmax = model.graph.node[-1]
    softmax.output[0] = "all"
    model.graph.node.append(helper.make_node("Mul", ["all", "unit"], ["probabilities"]))
    model.graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), "unit"))
    onnx.save(model, path)
    red = case_of(np.full((20, 20, 3), (255, 0, 0), np.uint8))
    np.testing.assert_allclose(Classifier(path).logits(red)[:2], [12, 0], atol=1e-4)


def test_networks_without_logits_are_refused(tmp_path: Path) -> None:
    path = colour_classifier(tmp_path / "colour.onnx")
    model = onnx.load(path)
    model.graph.node[-1].CopyFrom(helper.make_node("Sigmoid", ["logits"], ["probabilities"]))
    onnx.save(model, path)
    with pytest.raises(ModelError, match="no Softmax"):
        Classifier(path)
    with pytest.raises(ModelError, match="is for detection"):
        Classifier(fixed_detector(tmp_path / "detector.onnx", [[0, 0, 1, 1]], [0.9], [0]))
    with pytest.raises(ModelError, match="does not exist"):
        Classifier(tmp_path / "none.onnx")


@pytest.mark.skipif(not KIT_NETWORKS.is_dir(), reason="needs the kit")
@pytest.mark.parametrize("name", ["efficientnet_lite0_224", "squeezenet1_1_227"])
def test_logits_of_real_classifiers_give_their_probabilities(name: str) -> None:
    from trainer.networks import load_network

    path = KIT_NETWORKS / f"{name}.onnx"
    logits = Classifier(path).logits(case_of(PHOTOGRAPH))
    probabilities = load_network(path, "classification").predict([PHOTOGRAPH])
    assert isinstance(probabilities, np.ndarray)
    np.testing.assert_allclose(np.exp(logits - energy(logits)), probabilities[0], atol=1e-5)
