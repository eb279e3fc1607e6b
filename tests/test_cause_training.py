"""`python -m trainer causes`: from a kit to a model of causes, the test pictures left alone."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import pytest
from click.testing import CliRunner

from streamfilter.causes import CauseModel, measure_frame
from streamfilter.distort import KINDS
from streamfilter.errors import InputError
from streamfilter.frame import Frame
from tests.media import photograph
from tests.tiny_kit import write_kit
from trainer.causes import command, examples


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kit(tmp_path_factory.mktemp("kit"))


def run(kit: Path, out: Path, *more: object, status: int = 0) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so few examples leave the fit unfinished
        done = CliRunner().invoke(command, [*map(str, ("--kit", kit, "--out", out, "--workers", 1, *more))])
    assert done.exit_code == status, done.output
    return done.output


def test_the_command_makes_a_model_that_answers(kit, tmp_path):
    out, store = tmp_path / "causes.json", tmp_path / "examples.npz"
    said = run(kit, out, "--examples", store)
    model = CauseModel.load(out)
    assert set(model.answers) == {"compression", "blur", "noise", "dark", "over_exposed", "damaged", "none"}
    assert model.probabilities(measure_frame(Frame("x", 0, array=photograph(96, 96)))[None]).shape == (1, 7)
    assert json.loads(out.read_text())["command"].startswith("python -m trainer causes --kit KIT")
    assert "held-back examples right" in said
    first = out.read_text()
    run(kit, out, "--examples", store)
    assert out.read_text() == first


def test_every_single_kind_has_a_cause_and_no_test_picture_is_read(kit):
    assert set(examples.CAUSE_OF) == {kind for kind in KINDS if "+" not in kind}
    made = examples.make(kit, 0, 1, None)
    assert set(made.kinds) == {*examples.CAUSE_OF, "pristine"}
    development = len(list(examples._development(kit)))
    assert len(made.kinds) == development * (len(examples.CAUSE_OF) + 2)


def test_a_broken_picture_is_left_out_and_a_missing_folder_made(kit, tmp_path, caplog):
    mine = shutil.copytree(kit, tmp_path / "kit")
    broken = next(path for path in examples._development(mine) if not examples._is_held_back(path.name))
    broken.write_bytes(b"no picture")
    run(mine, tmp_path / "new" / "causes.json")
    assert CauseModel.load(tmp_path / "new" / "causes.json").answers
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["causes.json"]
    made = examples.make(mine, 0, 1, None)
    assert len(made.kinds) < len(examples.make(kit, 0, 1, None).kinds)
    with pytest.raises(InputError, match="pictures are too few"):
        examples.make(kit, 0, 1, 1)


def test_a_file_of_other_statistics_is_refused(tmp_path):
    path = tmp_path / "examples.npz"
    path.write_bytes(b"nothing")
    with pytest.raises(examples.InputError, match=r"holds no examples .*remove it"):
        examples.load(path)
