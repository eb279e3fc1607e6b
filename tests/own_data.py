"""A user's own pictures, as they lie around before they become a kit."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

WNIDS = [f"n{number:08d}" for number in range(1000)]


def picture(path: Path, seed: int, size: tuple[int, int] = (60, 40), **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(path, **options)
    return path


def imagenet(folder: Path, count: int = 12) -> Path:
    """A thousand class folders, `count` pictures in the first of them, and one that is broken."""
    for wnid in WNIDS:
        (folder / wnid).mkdir(parents=True)
    for index in range(count):
        picture(folder / WNIDS[index] / f"ILSVRC2012_val_{index:08d}.JPEG", index, format="JPEG")
    (folder / WNIDS[7] / "broken.JPEG").write_bytes(b"no picture")
    return folder


def coco(folder: Path) -> tuple[Path, Path]:
    """Two pictures with a box each, one that is missing, and one of another shape than annotated."""
    picture(folder / "val" / "1.jpg", 1)
    picture(folder / "val" / "2.jpg", 2, (40, 60))
    picture(folder / "val" / "4.jpg", 4, (40, 60))
    images = [{"id": n, "file_name": f"{n}.jpg", "width": 60, "height": 40} for n in (1, 2, 3, 4)]
    images[1] |= {"width": 40, "height": 60}
    annotations = [
        {"id": 10 * n, "image_id": n, "category_id": 1, "bbox": [10, 10, 20, 20], "area": 300, "iscrowd": int(n == 2)}
        for n in (1, 2, 3, 4)
    ]
    categories = [{"id": 1, "name": "person"}]
    path = folder / "instances.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return folder / "val", path
