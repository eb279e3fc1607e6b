"""The kit's three folders of pictures, each from a user's own data."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from streamfilter.errors import InputError, InputNotFoundError, OutputError, PictureError
from trainer.coco import read_coco
from trainer.kit.placing import Placed, Placing, place
from trainer.outcomes import in_order, progress
from trainer.pictures import check_names, list_items

CLASSES = 1000
WNID = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class Filling:
    """How a folder of the kit is filled."""

    out: Path
    """The kit."""
    placing: Placing
    """How pictures come into it."""
    test_share: float = 0.2
    """Share of the test split in expectation, 0 to below 1."""
    seed: int = 0
    """Decides the split."""
    workers: int = os.cpu_count() or 1
    """Pictures at once."""
    show_progress: bool = False
    """Whether to draw bars on standard error."""

    def split_of(self, content_hash: str) -> str:
        """`dev` or `test`, by the picture's content alone, so that equal files are on one side."""
        # The prefix keeps this draw independent of the one by which training holds pictures back.
        digest = hashlib.sha256(f"kit:{self.seed}:{content_hash}".encode()).digest()
        return "test" if int.from_bytes(digest[:8], "big") / 2**64 < self.test_share else "dev"


@dataclass
class Made:
    """What came of filling one folder."""

    splits: Counter[str] = field(default_factory=Counter)
    """Pictures of each split."""
    kept: int = 0
    """Pictures that were there already."""
    unreadable: list[str] = field(default_factory=list)
    """One line for each picture that was left out."""

    def to_json(self) -> dict[str, Any]:
        """As in `kit.json`."""
        return {"pictures": self.splits.total(), "splits": dict(self.splits), "unreadable": self.unreadable}


@dataclass(frozen=True)
class Source:
    """A picture of the user's data."""

    path: Path
    """Its file."""
    name: str
    """What it is to be called in the kit."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the user's data says about it."""


def fill_classification(validation: Path, truth: Path | None, filling: Filling) -> Made:
    """`classification/`: pictures and `labels.csv` (path, class_index, wnid, split, origin).

    Args:
        validation: ImageNet's validation pictures.
        truth: CSV `file,class_index`, files relative to `validation`; None when `validation` holds a folder `<wnid>`
            for each of the 1,000 classes.
        filling: where and how.

    Raises:
        InputNotFoundError: the folder or the truth does not exist.
        InputError: the truth cannot be read, the folders are not ImageNet's, or no picture is readable.
        OutputError: the kit cannot be written.
    """
    sources = list(_by_class_folder(validation) if truth is None else _by_csv(validation, truth))
    check_names([source.name for source in sources], truth or validation)
    folder, made = filling.out / "classification", Made()
    with _replacing(folder / "labels.csv") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "class_index", "wnid", "split", "origin"))
        for source, placed in _placed(sources, folder, filling, made):
            split = filling.split_of(placed.content_hash)
            facts = (source.facts["class_index"], source.facts["wnid"])
            writer.writerow((f"pictures/{placed.name}", *facts, split, "imagenet_val"))
    return made


def fill_detection(pictures: Path, annotations: Path, filling: Filling) -> Made:
    """`detection/`: pictures and `instances.json`, COCO's format with `split` for each image, boxes scaled along.

    Segmentations are left out. A picture whose size is not the annotated one counts as unreadable.

    Raises:
        InputNotFoundError: the folder or the annotations do not exist.
        InputError: the annotations cannot be read or have other categories than COCO's, or no picture is readable.
        OutputError: the kit cannot be written.
    """
    content = _read_annotations(pictures, annotations)
    sources = [Source(pictures / image["file_name"], _safe(image["file_name"], annotations), image)
               for image in content["images"]]  # fmt: skip
    check_names([source.name for source in sources], annotations)
    folder, made, scales = filling.out / "detection", Made(), {}

    def images() -> Iterator[dict[str, Any]]:
        for source, placed in _placed(sources, folder, filling, made):
            scales[source.facts["id"]] = placed.width / source.facts["width"], placed.height / source.facts["height"]
            yield {"id": source.facts["id"], **_image(placed, filling)}

    with _replacing(folder / "instances.json") as file:
        _write_array(file, '{"images": [', images())
        scaled = (_scaled(one, *scales[one["image_id"]]) for one in content["annotations"] if one["image_id"] in scales)
        _write_array(file, ', "annotations": [', scaled)
        _write_array(file, ', "categories": [', content["categories"])
        file.write("}\n")
    return made


def fill_extra(photographs: Path, filling: Filling) -> Made:
    """`extra/`: pictures without ground truth, `origins.csv` and `pictures.json` (COCO's images, with `split`).

    Raises:
        InputNotFoundError: the folder does not exist.
        InputError: it has no readable picture.
        OutputError: the kit cannot be written.
    """
    sources = (Source(photographs / one.picture, one.picture) for one in list_items(photographs, None, "detection"))
    folder, made = filling.out / "extra", Made()
    with _replacing(folder / "pictures.json") as file, _replacing(folder / "origins.csv") as origins:
        writer = csv.writer(origins, lineterminator="\n")
        writer.writerow(("path", "origin"))

        def images() -> Iterator[dict[str, Any]]:
            for number, (_, placed) in enumerate(_placed(sources, folder, filling, made)):
                writer.writerow((f"pictures/{placed.name}", photographs.resolve().name))
                yield {"id": number, **_image(placed, filling)}

        _write_array(file, '{"images": [', images())
        file.write(', "annotations": [], "categories": []}\n')
    return made


def _placed(sources: Iterable[Source], folder: Path, filling: Filling, made: Made) -> Iterator[tuple[Source, Placed]]:
    listed = list(sources)

    def bring(source: Source) -> Placed | PictureError:
        try:
            placed = place(source.path, folder / "pictures", source.name, filling.placing)
            _check_size(source, placed)
        except PictureError as error:
            return error
        return placed

    with closing(in_order(bring, listed, filling.workers)) as answers:
        shown = progress(answers, folder.name, len(listed), 0, filling.show_progress)
        for source, placed in zip(listed, shown, strict=True):
            if isinstance(placed, PictureError):
                made.unreadable.append(str(placed))
                continue
            made.splits[filling.split_of(placed.content_hash)] += 1
            made.kept += placed.kept
            yield source, placed
    if not made.splits:
        raise InputError(f"no readable picture for {folder}: {(made.unreadable or ['none is named'])[0]}")


def _check_size(source: Source, placed: Placed) -> None:
    if "width" not in source.facts:
        return
    width, height = int(source.facts["width"]), int(source.facts["height"])
    if abs(placed.width * height - placed.height * width) > max(width, height):
        raise PictureError(f"{source.path} has not the shape {width}x{height} that it is annotated with")


def _image(placed: Placed, filling: Filling) -> dict[str, Any]:
    size = {"width": placed.width, "height": placed.height}
    return {"file_name": f"pictures/{placed.name}", **size, "split": filling.split_of(placed.content_hash)}


def _scaled(annotation: Mapping[str, Any], across: float, down: float) -> dict[str, Any]:
    left, top, width, height = annotation["bbox"]
    box = [round(value, 2) for value in (left * across, top * down, width * across, height * down)]
    kept = {key: annotation[key] for key in ("id", "image_id", "category_id")}
    area = annotation.get("area", width * height) * across * down
    return {**kept, "bbox": box, "area": round(area, 2), "iscrowd": int(annotation.get("iscrowd", 0))}


def _by_class_folder(validation: Path) -> Iterator[Source]:
    _need_folder(validation)
    folders = sorted(path.name for path in validation.iterdir() if path.is_dir())
    if len(folders) != CLASSES or not all(WNID.fullmatch(name) for name in folders):
        raise InputError(
            f"{validation} holds {len(folders)} folders, not one <wnid> for each of ImageNet's {CLASSES} classes; "
            "give the classes as a CSV file,class_index with --imagenet-truth"
        )
    indices = {wnid: index for index, wnid in enumerate(folders)}
    for item in list_items(validation, None, "classification"):
        wnid = item.picture.split("/")[0]
        if wnid in indices:
            facts = {"class_index": indices[wnid], "wnid": wnid}
            yield Source(validation / item.picture, item.picture, facts)


def _by_csv(validation: Path, truth: Path) -> Iterator[Source]:
    _need_folder(validation)
    if not truth.is_file():
        raise InputNotFoundError(f"truth {truth} does not exist")
    try:
        with truth.open(newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                index, name = int(row["class_index"]), row["file"] or ""
                if not 0 <= index < CLASSES:
                    raise ValueError(f"class_index {index} outside 0-{CLASSES - 1}")
                yield Source(validation / name, _safe(name, truth), {"class_index": index, "wnid": ""})
    except (OSError, UnicodeDecodeError, csv.Error, ValueError, TypeError, KeyError) as error:
        raise InputError(f"truth {truth} cannot be read as CSV file,class_index: {error!r}") from error


def _read_annotations(pictures: Path, annotations: Path) -> dict[str, Any]:
    _need_folder(pictures)
    if not annotations.is_file():
        raise InputNotFoundError(f"annotations {annotations} do not exist")
    content = read_coco(annotations)
    try:
        for one in content["annotations"]:
            one["id"]
        return {key: content[key] for key in ("images", "annotations", "categories")}
    except KeyError as error:
        raise InputError(f"{annotations} cannot be read as COCO JSON: {error} is missing") from error


def _safe(name: str, where: Path) -> str:
    parts = PurePosixPath(name)
    if not name or parts.is_absolute() or ".." in parts.parts:
        raise InputError(f"{where} names the picture {name!r}; wanted a path inside the folder of pictures")
    return parts.as_posix()


def _need_folder(path: Path) -> None:
    if not path.is_dir():
        raise InputNotFoundError(f"{path} is not a folder of pictures")


def _write_array(file: IO[str], opening: str, values: Iterable[Mapping[str, Any]]) -> None:
    file.write(opening)
    for number, value in enumerate(values):
        file.write(("," if number else "") + "\n" + json.dumps(value))
    file.write("]")


@contextmanager
def _replacing(path: Path) -> Iterator[IO[str]]:
    """A text file that appears whole or not at all."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("w", encoding="utf-8", newline="") as file:
            yield file
        unfinished.replace(path)
    except InputError:
        raise
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)
