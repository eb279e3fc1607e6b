"""`python -m trainer score`: what models and rivals say about the pictures of label tables -> a table."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from streamfilter.distort import apply
from streamfilter.errors import ConfigError, InputError, PictureError
from trainer.alone import alone_in
from trainer.parts import Parts
from trainer.pictures import read_labelled
from trainer.rivals import RIVALS, Case, Classifier
from trainer.score_plan import Source, digest, held_back, plan
from trainer.score_table import KEYS, read_scores
from trainer.tables import METADATA_KEY
from trainer.utility_model import UtilityModel

CREATED_BY = "streamfilter trainer, score table 1"
SUFFIX = ".parquet"
Row = dict[str, Any]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoreJob:
    """Which pictures to score, and by what."""

    labels: tuple[Path, ...]
    """Folders of label tables."""
    out: Path
    """The table, ending in `.parquet`."""
    models: tuple[str, ...] = ()
    """Utility models: names in `streamfilter/models`, or ONNX paths."""
    runs: tuple[str, ...] = ()
    """Finished training runs, FOLDER or NAME=FOLDER, asked about each labelling network as well."""
    rivals: tuple[str, ...] = tuple(RIVALS)
    """Keys of `RIVALS`."""
    energy_network: Path | None = None
    """ONNX classifier to ask for energy and Fisher information; None for neither."""
    held_back: Path | None = None
    """Training run: only the pictures that it held back; None for all."""
    workers: int = os.cpu_count() or 1
    """Pictures worked on at once."""


@dataclass(frozen=True)
class Scorer:
    """One or more columns of the table."""

    columns: tuple[str, ...]
    """Their names."""
    identity: str
    """Changes when the scores may: the digest of a model file, or the name of a rival."""
    score: Callable[[Case], Sequence[float]]
    """One value a column; higher means expected to be more useful."""


def score(job: ScoreJob, show_progress: bool = False) -> list[str]:
    """Make the table `job.out`, going on where an earlier run with the same settings stopped.

    Its columns are picture, content_hash, split, distortion, strength (null for pristine), images (folder of the
    pictures), and a float64 column a score: the rivals by name, `energy` and `fisher_information`, and
    `<model name>:<task>` for the models and runs, and `<run>:<task>:<network>` for what a run says of its networks.

    Returns:
        One line for each picture that was skipped because it cannot be decoded or distorted, or is no longer the one
        that was labelled.

    Raises:
        InputError: label tables are missing or unreadable, or hold no picture that the run held back.
        ModelError: a model or network cannot be used.
        ConfigError: nothing is to be scored, a name is unknown or double, or `out` was made with other settings.
        OutputError: the table cannot be written, or another process is at it.
    """
    if job.out.suffix != SUFFIX:
        raise ConfigError(f"the score table {job.out} must end in {SUFFIX}")
    scorers = _scorers(job)
    sources = plan(job.labels)
    if job.held_back is not None:
        sources = held_back(sources, job.held_back)
    settings = {
        "sources": [len(sources), digest(sources)],
        "scorers": [[*scorer.columns, scorer.identity] for scorer in scorers],
    }
    parts = Parts(job.out.parent, job.out.stem, settings)
    if parts.table.exists():
        return _finished(parts)
    parts.open()
    columns = [name for scorer in scorers for name in scorer.columns]
    part_schema = partial(_part_schema, columns)
    with alone_in(parts.folder):
        count, skipped = parts.fill(sources, partial(_rows_or_why, scorers), part_schema, job.workers, show_progress)
        parts.merge(count, _schema(columns, {"settings": settings, "skipped": skipped, "created_by": CREATED_BY}))
    return skipped


def _scorers(job: ScoreJob) -> list[Scorer]:
    unknown = sorted(set(job.rivals) - set(RIVALS))
    if unknown:
        raise ConfigError(f"unknown rivals {', '.join(unknown)}, known: {', '.join(RIVALS)}")
    scorers = [_of_rival(name) for name in job.rivals]
    if job.energy_network is not None:
        classifier = Classifier(job.energy_network)
        scorers.append(Scorer(classifier.names, classifier.sha256, classifier))
    scorers += [_of_model(UtilityModel(name)) for name in job.models]
    scorers += [_of_run(place) for place in job.runs]
    columns = [name for scorer in scorers for name in scorer.columns]
    if not columns or len(set(columns)) != len(columns):
        raise ConfigError(f"scores need different names, at least one; got {', '.join(columns) or 'none'}")
    return scorers


def _of_rival(name: str) -> Scorer:
    return Scorer((name,), name, lambda case: (RIVALS[name].score(case),))


def _of_model(model: UtilityModel) -> Scorer:
    return Scorer(model.names, model.sha256, lambda case: model(case.rgb))


def _of_run(place: str) -> Scorer:
    from trainer.run_model import RunModel

    model = RunModel(place)
    return Scorer(model.names, model.sha256, lambda case: model(case.rgb))


def _finished(parts: Parts) -> list[str]:
    found = _metadata(read_scores(parts.table).schema)
    if found.get("settings") != json.loads(json.dumps(parts.settings)):
        raise ConfigError(f"{parts.table} has scores of other pictures or models: choose another --out or remove it")
    logger.info("%s is complete, nothing to do", parts.table)
    return list(found["skipped"])


def _metadata(schema: pa.Schema) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((schema.metadata or {})[METADATA_KEY])
    except (KeyError, ValueError) as error:
        raise InputError(f"not a score table: its metadata lacks {METADATA_KEY.decode()}") from error
    return found


def _schema(columns: Sequence[str], metadata: dict[str, Any]) -> pa.Schema:
    fields = [*KEYS, *((name, pa.float64()) for name in columns)]
    return pa.schema(fields, metadata={METADATA_KEY: json.dumps(metadata)})


def _part_schema(columns: Sequence[str], skipped: list[str]) -> pa.Schema:
    return _schema(columns, {"skipped": skipped})


def _rows_or_why(scorers: Sequence[Scorer], source: Source) -> list[Row] | PictureError:
    try:
        return _rows_of(source, scorers)
    except PictureError as error:
        return error


def _rows_of(source: Source, scorers: Sequence[Scorer]) -> list[Row]:
    path = Path(source.images) / source.picture
    pristine = read_labelled(path, source.content_hash)
    keys = {name: getattr(source, name) for name in ("picture", "content_hash", "split", "images")}
    rows = []
    for distortion in source.distortions:
        try:
            case = Case(apply(pristine, distortion), pristine, distortion)
            scores = {name: value for one in scorers for name, value in zip(one.columns, one.score(case), strict=True)}
        except PictureError as error:
            raise PictureError(f"{path}: {error}") from error
        rows.append({**keys, "distortion": distortion.kind, "strength": distortion.strength, **scores})
    return rows


@click.command("score")
@click.option(
    "--labels", type=click.Path(path_type=Path), multiple=True, required=True, help="Folder of label tables; again."
)
@click.option("--model", "models", multiple=True, help="Utility model: a shipped name or an ONNX file; again.")
@click.option(
    "--run", "runs", multiple=True, metavar="[NAME=]FOLDER",
    help="Finished training run: its tasks and its labelling networks; again.",
)  # fmt: skip
@click.option(
    "--rival", "rivals", type=click.Choice(tuple(RIVALS)), multiple=True, help="Only this rival; again. Default: all."
)
@click.option("--no-rivals", is_flag=True, help="No rival but --energy-network.")
@click.option("--energy-network", type=click.Path(path_type=Path), help="ONNX classifier to ask for its energy.")
@click.option(
    "--held-back", type=click.Path(path_type=Path), help="Only the pictures that this training run held back."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The table, FILE.parquet.")
@click.option("--workers", type=click.IntRange(1), default=os.cpu_count() or 1, help="Default: one a CPU.")
@click.pass_context
def command(context: click.Context, /, rivals: tuple[str, ...], no_rivals: bool, **options: Any) -> None:
    """Score the distorted pictures of label tables with utility models and with classical measures."""
    if rivals and no_rivals:
        raise click.UsageError("--rival and --no-rivals exclude each other")
    chosen = () if no_rivals else rivals or tuple(RIVALS)
    skipped = score(ScoreJob(rivals=chosen, **options), show_progress=True)
    if skipped:
        click.echo(f"{len(skipped)} pictures could not be scored and were skipped:", err=True)
        for line in skipped:
            click.echo(f"  {line}", err=True)
        context.exit(1)
