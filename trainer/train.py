"""`python -m trainer train`: label tables -> a run folder with a trained, judged and calibrated network."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import torch

from streamfilter.errors import ConfigError, DeviceError
from streamfilter.spec import TASKS
from trainer import evaluate
from trainer.alone import alone_in
from trainer.balance import METHODS
from trainer.dataset import load_tables, network_names
from trainer.efficientnet import Lite
from trainer.loop import Loop
from trainer.mixing import copied, mix
from trainer.models import FRONTS, INITS, MODELS, UtilityNet, build
from trainer.places.loop import PlacesLoop
from trainer.places.network import CENTRED
from trainer.prepare import prepare
from trainer.rounding import WEIGHTS, round_weights
from trainer.runs import OPTIMIZERS, TARGETS, RunFolder, TrainConfig, command_line, completed, git_commit, sha256
from trainer.state import State, Tally

log = logging.getLogger(__name__)

START_OVER = "remove the folder, or train with another --out or --fresh"


def train(
    config: TrainConfig, out: Path, weights_dir: Path | None = None, command: str = "", fresh: bool = False
) -> bool:
    """Train a utility network and judge it on the held-back sources; the last epoch is the model.

    Args:
        config: the recipe.
        out: the run folder; a checkpoint of the same recipe in it is gone on from.
        weights_dir: folder with the published ImageNet weights; None downloads them.
        command: the command line, for the record.
        fresh: start over even if there is a checkpoint.

    Returns:
        Whether it came to its end; False when a signal stopped it after a checkpoint.

    Raises:
        ConfigError: the folder holds a checkpoint of another recipe, or a task lacks a class.
        DeviceError: the device is not there.
        InputError: labels are missing, or of the test split.
        ModelError: the loss is no number any more.
        OutputError: the folder cannot be written, or another process trains into it.
    """
    if Path(config.init).resolve() == out.resolve():
        raise ConfigError(f"{out} cannot start from itself; choose another --out")
    device = choose_device(config.device)
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    networks = network_names(config.labels, config.tasks) if config.target == "confidence" else ()
    net = build(config.model, config.tasks, config.init, weights_dir, config.front, networks).to(device)
    if config.frozen and isinstance(net.backbone, Lite):
        net.backbone.freeze(config.frozen)
    initial = copied(net.backbone) if config.keep_initial else {}
    state = State(net, choose_optimizer(config, net), Tally.empty(len(config.tasks)))
    tables = load_tables(config.labels, config.tasks, networks)
    recipe = {
        **config.recipe(),
        "networks": [list(pair) for pair in networks],
        "label_sha256": [sha256(table.path) for table in tables],
    }
    folder = RunFolder(out)
    folder.create()
    with alone_in(out):
        resumed = folder.checkpoint_path.exists() and not fresh
        if resumed:
            resume(state, folder, recipe)
            if config.keep_initial and folder.read_json("run.json").get("init_sha256") != _init_digest(config):
                raise ConfigError(f"{config.init} is not what {out} started from any more; {START_OVER}")
        data = prepare(config, tables, out, weights_dir, networks)
        record = data.record(config.tasks)
        precision = choose_precision(device)
        if not resumed:
            folder.start_over()
            started_from = _history(RunFolder(Path(config.init))) if Path(config.init).is_dir() else []
            folder.write_json(
                "run.json", {**_record(config, device, precision, command), "started_from": started_from, **record}
            )
            folder.write_json("split.json", data.sides())
        kind = PlacesLoop if config.model == CENTRED else Loop
        loop = kind(config, data, folder, state, recipe, device, precision)
        if not loop.run():
            return False
        if config.keep_initial and not state.calibrated:
            mix(net.backbone, initial, config.keep_initial)
        round_weights(net.backbone, config.weights)
        logits, tasks = loop.held_back_logits(), len(config.tasks)
        (scales, biases), figures = evaluate.judge_held_back(logits[:, :tasks], data.held, config.tasks)
        more_scales, more_biases = evaluate.calibrate_networks(logits[:, tasks:], data.held, networks)
        net.calibrate([*scales, *more_scales], [*biases, *more_biases])
        state.calibrated = True
        folder.update_metrics(evaluate.HELD_BACK, {"command": command, "labels": record["labels"], "tasks": figures})
        folder.save_checkpoint(state.to_checkpoint(recipe))
        return True


def resume(state: State, folder: RunFolder, recipe: dict[str, Any]) -> None:
    """Take up the folder's checkpoint.

    Raises:
        ConfigError: it was made by another recipe; the message lists the differences.
    """
    checkpoint = folder.load_checkpoint()
    known = completed(checkpoint["recipe"])
    differences = [
        f"{key} was {known.get(key)!r}, now {recipe.get(key)!r}"
        for key in {**known, **recipe}
        if known.get(key) != recipe.get(key)
    ]
    if differences:
        raise ConfigError(f"{folder.checkpoint_path} is of another recipe ({'; '.join(differences)}); {START_OVER}")
    state.restore(checkpoint)
    log.info("going on from epoch %d, step %d", state.epoch + 1, state.step)


def choose_device(name: str) -> torch.device:
    """The torch device of that name.

    Raises:
        DeviceError: CUDA is asked for and not there.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError("torch sees no CUDA device here; train with --device cpu or mend the driver")
    return torch.device(name)


def choose_optimizer(config: TrainConfig, net: UtilityNet) -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW, over all weights."""
    if config.optimizer == "adamw":
        return torch.optim.AdamW(net.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    return torch.optim.SGD(net.parameters(), lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay)


def choose_precision(device: torch.device) -> torch.dtype:
    """bfloat16 where the device multiplies it natively, else float32; the choice is logged."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported()
    elif platform.machine() in ("x86_64", "AMD64"):
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    else:
        native = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    log.info("training on %s in %s", device, "bfloat16 (autocast)" if native else "float32: no native bfloat16")
    return torch.bfloat16 if native else torch.float32


def _record(config: TrainConfig, device: torch.device, precision: torch.dtype, command: str) -> dict[str, Any]:
    return {
        "command": command,
        "config": config.recipe(),
        "commit": git_commit(),
        "init_sha256": _init_digest(config),
        "device": device.type,
        "precision": str(precision).removeprefix("torch."),
        "torch": torch.__version__,
    }


def _init_digest(config: TrainConfig) -> str | None:
    """Of the file or the run's checkpoint that a run starts from; None where it starts from neither."""
    init = Path(config.init)
    path = RunFolder(init).checkpoint_path if init.is_dir() else init
    return sha256(path) if path.is_file() else None


def _history(earlier: RunFolder) -> list[dict[str, Any]]:
    """Command, commit and label commands of the runs that a run started from, the first one first."""
    record = earlier.read_json("run.json")
    labels = [label["command"] for label in record["labels"]]
    mine = {"command": record["command"], "commit": record["commit"], "labels": labels}
    return [*record.get("started_from", []), mine]


DEFAULTS = {item.name: item.default for item in fields(TrainConfig)}


def _names(context: click.Context, option: click.Parameter, text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in TASKS]
    if unknown or not names:
        raise click.BadParameter(f"unknown task {', '.join(unknown) or text!r}; known: {', '.join(TASKS)}")
    return names


def _option(flag: str, **more: Any) -> Callable[[Any], Any]:
    name = flag.removeprefix("--").replace("-", "_")
    return click.option(flag, default=DEFAULTS[name], show_default=True, **more)


@click.command("train")
@click.option(
    "--labels", type=click.Path(path_type=str), required=True, multiple=True, help="Label folder; repeatable."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Run folder; goes on from its checkpoint.")
@click.option("--tasks", default=",".join(DEFAULTS["tasks"]), show_default=True, callback=_names, help="In order.")
@_option("--target", type=click.Choice(TARGETS), help="What to learn; confidences are richer than labels.")
@_option("--model", type=click.Choice(MODELS), help="Architecture.")
@_option("--front", type=click.Choice(FRONTS), help="What the backbone sees; published weights want rgb.")
@_option("--init", help=f"Initial weights: {', '.join(INITS)}, or the folder of a finished run, or a weight file.")
@_option("--keep-initial", help="Share of the weights of --init, a run, in the result.")
@_option("--frozen", help="First blocks of lite0 that keep their initial weights; 0 trains everything.")
@_option("--input-size", help="Side of the square input, pixels.")
@_option("--patch", help="Train on patches of this side, cut out of input-sized views; 0 for whole views.")
@_option("--epochs", help="Passes over the balanced training rows.")
@_option("--batch-size", help="Pictures a step.")
@_option("--optimizer", type=click.Choice(OPTIMIZERS), help="How to learn.")
@_option("--lr", help="Peak learning rate.")
@_option("--momentum", help="Momentum of SGD.")
@_option("--weight-decay", help="L2 penalty of SGD, decay of AdamW.")
@_option("--warmup", help="Share of the run over which the learning rate rises.")
@_option("--balance", type=click.Choice(METHODS), help="How the classes are balanced.")
@_option("--balance-rounds", help="Most rounds of augmentation and relabelling a task.")
@_option("--weights", type=click.Choice(WEIGHTS), help="How the file keeps them; int8 is half of float16.")
@_option("--holdout", help="Share of the source pictures held back.")
@_option("--seed", help="Of the split, the initial weights, the order and the views.")
@_option("--device", type=click.Choice(("cpu", "cuda")), help="Where to train.")
@_option("--threads", type=click.IntRange(0), help="Torch's threads; 0 leaves its default.")
@_option("--room", help="Pictures are remembered this much larger than the input, for crops.")
@_option("--cache-mb", help="Bound on shrunk pictures remembered, MiB.")
@_option("--cache-dir", help="Folder to remember them in, for other runs as well; else memory.")
@_option("--checkpoint-minutes", help="Time between checkpoints within an epoch.")
@click.option("--weights-dir", type=click.Path(path_type=Path), help="Folder of published weights; else downloaded.")
@click.option("--fresh", is_flag=True, help="Start over even if there is a checkpoint.")
@click.pass_context
def command(context: click.Context, out: Path, weights_dir: Path | None, fresh: bool, **settings: Any) -> None:
    """Train a utility network on label tables; the same command goes on where it was stopped."""
    if not train(TrainConfig(**settings), out, weights_dir, command_line("trainer"), fresh):
        click.echo(f"stopped; the same command goes on from the checkpoint in {out}", err=True)
        context.exit(130)
    click.echo(evaluate.markdown(RunFolder(out).read_json("metrics.json")[evaluate.HELD_BACK]["tasks"]))
