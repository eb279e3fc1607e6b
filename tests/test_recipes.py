"""Recipes: those of the repository, what a mistaken one gets, and that a small run goes through to a model."""

import shlex
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch
from click.testing import CliRunner

from streamfilter.errors import ConfigError, InputNotFoundError
from streamfilter.spec import ModelSpec
from tests.tiny_kit import write_kit
from trainer import label as label_room
from trainer import train as train_room
from trainer.__main__ import main
from trainer.label import LabelJob
from trainer.recipe.file import load_recipe
from trainer.recipe.plan import Place, label_step, recipe_steps, train_step
from trainer.recipe.steps import LabelStep, TrainStep
from trainer.runs import TrainConfig

torch.set_num_threads(1)

RECIPES = sorted((Path(__file__).parent.parent / "recipes").glob("*.toml"))
GOOD = """
[recipe]
name = "small"
about = "for a test"
time = "a second"
expected = "a model"
[[labels]]
out = "labels/dev"
task = "classification"
pictures = "classification"
split = "dev"
networks = ["efficientnet_lite0_224"]
[train]
labels = ["labels/dev"]
tasks = ["classification"]
[export]
model = "small.onnx"
"""


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    kit = write_kit(tmp_path_factory.mktemp("recipes"))
    (kit / "init").mkdir()
    (kit / "init" / "shufflenetv2_x0_5_backbone.pth").write_bytes(b"named, not read")
    return kit


def test_the_repository_has_the_recipes():
    assert {path.stem for path in RECIPES} >= {"paper", "large", "default", "resnet18", "accurate", "taught"}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_says_what_it_takes_and_gives(path):
    about = vars(load_recipe(path).about)
    empty = [f"{path.name}: recipe.{key} is empty: write what was measured" for key, text in about.items() if not text]
    assert not empty, "; ".join(empty)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_has_a_small_size(path):
    full, small = load_recipe(path), load_recipe(path, smoke=True)
    assert all(table.limit and table.limit <= 10 and table.sample is None for table in small.labels)
    assert small.train["init"] == "none"
    assert small.train["epochs"] == 1
    assert {**small.train, **full.train} == {**small.train, **full.train, "model": small.train["model"]}
    assert [table.out for table in small.labels] == [table.out for table in full.labels]


def test_the_paper_recipe_is_the_papers():
    recipe = load_recipe(next(path for path in RECIPES if path.stem == "paper"))
    wanted = {
        "model": "resnet18",
        "front": "rgb",
        "target": "label",
        "optimizer": "sgd",
        "lr": 1e-4,
        "init": "imagenet",
    }
    assert {key: recipe.train[key] for key in wanted} == wanted
    assert {table.distortions for table in recipe.labels} == {"jpeg=1,2,3,5,8,12,18,30,50"}


def test_mistakes_are_reported_together(tmp_path):
    path = tmp_path / "wrong.toml"
    text = GOOD.replace('task = "classification"', 'task = "segmentation"').replace('time = "a second"\n', "")
    text = text.replace('split = "dev"', "sample = 0\nspilt = 3").replace("small.onnx", "small.pt")
    path.write_text(text + '[train2]\n[smoke]\nepochs = "one"\n')
    with pytest.raises(ConfigError) as caught:
        load_recipe(path)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    told = [line.removeprefix(f"{path}: ") for line in lines]
    for start in (
        "[train2] is unknown; known: recipe, labels, lessons, train, export, smoke",
        "recipe.time is missing",
        "labels[1].task is 'segmentation', expected one of classification, detection",
        "labels[1].spilt is unknown; known: out, task,",
        "labels[1].sample is 0, expected at least 1",
        "export.model is 'small.pt', expected a file name ending in .onnx",
        "smoke.epochs is 'one', expected a whole number",
    ):
        assert [line for line in told if line.startswith(start)], (start, told)
    assert len(told) == 7


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[train]", "[train]\nepochs = 0\nlr = -1", r"\[train\] epochs 0 under 1\n.*\[train\] learning rate -1 not"),
        ("[train]", "[train]\nmodel = 'vit'", r"train\.model is 'vit', expected one of resnet18"),
        ("[train]", "[train]\nepochs = true", r"train\.epochs is True, expected a whole number"),
        ('["labels/dev"]', '["labels/val"]', r"train\.labels names 'labels/val', which no \[\[labels\]\] makes"),
        ('out = "labels/dev"', 'out = "../dev"', r"labels\[1\]\.out is '\.\./dev', expected a folder under"),
        ("[train]", "distortions = 'fog'\n[train]", r"labels\[1\]\.distortions: 'fog': wanted all"),
        ("[train]", "[[lessons]]\nout = 'labels/dev'\nteacher = 'x'\npictures = 'extra'\n[train]", "two tables have"),
        ("[train]", "[[lessons]]\nout = 'taught'\npictures = 'extra'\n[train]", r"lessons\[1\]\.teacher is missing"),
        ("[train]", "[lessons]\n[train]", r"\[\[lessons\]\] is not a list of tables"),
        ("[export]", "[smoke]\nholdout = 2\n[export]", r"\[smoke\] held-back share 2 outside 0-1"),
        ("[export]", "[export", "is not TOML"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_file_and_key(tmp_path, old, new, message):
    path = tmp_path / "wrong.toml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(ConfigError, match=message) as caught:
        load_recipe(path)
    assert str(path) in str(caught.value)


def test_what_the_kit_lacks_is_named(tmp_path, kit):
    path = tmp_path / "recipe.toml"
    path.write_text(GOOD.replace("efficientnet_lite0_224", "nowhere"))
    with pytest.raises(ConfigError, match=r"no network nowhere: neither in .*networks nor torchvision's"):
        recipe_steps(load_recipe(path), Place.of(kit, tmp_path))
    path.write_text(GOOD.replace("[train]", '[train]\ninit = "kit:init/nothing.pth"\nmodel = "nano"'))
    with pytest.raises(InputNotFoundError, match=r"nothing\.pth, where the recipe wants to start, does not exist"):
        recipe_steps(load_recipe(path), Place.of(kit, tmp_path))
    with pytest.raises(InputNotFoundError, match="is not a kit"):
        Place.of(tmp_path / "none", tmp_path)


def test_extra_pictures_with_splits_keep_them(tmp_path, kit):
    path = tmp_path / "recipe.toml"
    path.write_text(GOOD.replace('pictures = "classification"', 'pictures = "extra"').replace('split = "dev"\n', ""))
    table = load_recipe(path).labels[0]
    place = Place.of(kit, tmp_path)
    assert label_step(table, place).job.truth is None
    splits = kit / "extra" / "pictures.json"
    splits.write_text('{"images": [], "annotations": []}')
    job = label_step(table, place).job
    splits.unlink()
    assert (job.truth, job.reference, job.split) == (place.kit / "extra" / "pictures.json", "pristine", "dev")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_printed_commands_are_what_is_run(path, kit, tmp_path):
    steps = recipe_steps(load_recipe(path), Place.of(kit, tmp_path))
    shown = CliRunner().invoke(main, ["recipe", str(path), "--kit", str(kit), "--work", str(tmp_path), "--print"])
    lines = [shlex.split(line) for line in shown.stdout.splitlines()]
    assert [line[:3] for line in lines] == [["python", "-m", step.words[0]] for step in steps]
    for line, step in zip(lines, steps, strict=True):
        if isinstance(step, LabelStep):
            options = label_room.command.make_context("label", line[4:]).params
            assert LabelJob(**{**options, "networks": tuple(options["networks"].split(","))}) == step.job
        elif isinstance(step, TrainStep):
            options = train_room.command.make_context("train", line[4:]).params
            del options["fresh"]
            assert (options.pop("out"), options.pop("weights_dir")) == (step.out, step.weights_dir)
            assert TrainConfig(**options) == step.config
    assert not list(tmp_path.iterdir())


def test_a_recipe_can_go_on_from_the_run_of_another(kit, tmp_path):
    by_name = {path.stem: load_recipe(path) for path in RECIPES}
    place = Place.of(kit, tmp_path)
    first, second = (train_step(by_name[name], place) for name in ("large", "default"))
    assert Path(second.config.init) == first.out
    assert second.config.input_size < first.config.input_size


def test_a_recipe_can_be_taught_by_the_run_of_another(kit, tmp_path):
    by_name = {path.stem: load_recipe(path) for path in RECIPES}
    place = Place.of(kit, tmp_path)
    teacher, student = (train_step(by_name[name], place) for name in ("accurate", "taught"))
    assert {lesson.job.teacher for lesson in student.lessons} == {teacher.out}
    assert not teacher.lessons
    taught = [f"{lesson.job.out}" for lesson in student.lessons]
    assert list(student.config.labels[-len(taught) :]) == taught


@pytest.mark.parametrize("task", ["classification", "detection"])
def test_a_recipe_can_be_made_for_one_task_alone(task, kit, tmp_path):
    path = next(path for path in RECIPES if path.stem == "default")
    both, alone = load_recipe(path), load_recipe(path).only(task)
    assert (alone.about.name, alone.export.model) == (f"utility-nano-{task}", f"utility-nano-{task}.onnx")
    assert {table.task for table in alone.labels} == {task}
    config = train_step(alone, Place.of(kit, tmp_path)).config
    assert (config.tasks, config.init) == ((task,), train_step(both, Place.of(kit, tmp_path)).config.init)
    shown = CliRunner().invoke(
        main, ["recipe", str(path), "--kit", str(kit), "--work", str(tmp_path), "--only", task, "--print"]
    )
    assert f"--tasks {task}" in shown.stdout


def test_a_recipe_without_labels_of_the_task_cannot(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(GOOD)
    with pytest.raises(ConfigError, match="labels no detection; it labels classification"):
        load_recipe(path).only("detection")


@pytest.mark.parametrize(
    "names", [["large"], ["default"], ["accurate", "taught"], ["accurate", "resnet18"]], ids=" then ".join
)
def test_the_small_size_goes_through_to_a_model(names, kit, tmp_path, monkeypatch):
    for name in names:
        path = next(path for path in RECIPES if path.stem == name)
        options = ["recipe", str(path), "--kit", str(kit), "--work", str(tmp_path), "--smoke"]
        done = CliRunner().invoke(main, options)
        assert done.exit_code == 0, (done.output, done.exception)
    model = tmp_path / "smoke" / "models" / load_recipe(path).export.model
    metadata = {entry.key: entry.value for entry in onnx.load(model).metadata_props}
    spec = ModelSpec.from_metadata(metadata, str(model))
    assert spec.tasks == ("classification", "detection")
    assert spec.training["command"].startswith("python -m trainer train --labels ")
    assert model.with_suffix(".md").is_file()
    step = train_step(load_recipe(path, smoke=True), Place.of(kit, tmp_path, smoke=True))
    assert step.done()
    assert not replace(step, config=replace(step.config, lr=0.5)).done()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*") if path.is_file()}
    monkeypatch.setattr("trainer.recipe.steps.train", None)
    assert CliRunner().invoke(main, options).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*") if path.is_file()} == before
