"""Make the sample clip: a slow camera over photographs, now clean, now in trouble.

    python samples/make_clip.py --out samples/tour_of_troubles.mp4

Needs scikit-image for its photographs: pip install "streamfilter[train]". The JSON beside the clip says which frames
are clean and what is wrong with the others. The same libraries give the same bytes.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import click
import cv2
import numpy as np
import numpy.typing as npt

RGB = npt.NDArray[np.uint8]
FPS = 25
SIZE_HW = (360, 640)
SEED = 20220607
SLICES = 9
START_CODE = b"\x00\x00\x01"
SLICE_TYPES = (1, 5)
UNITS = {
    "none": None,
    "jpeg": "JPEG quality",
    "h264": "H.264 QP",
    "defocus": "radius in pixels",
    "motion": "length in pixels",
    "dark": "stops of exposure lost",
    "lost_packets": "share of slices lost",
}


@dataclass(frozen=True)
class View:
    """Where the camera looks: centre and width as fractions of the photograph's width and height."""

    x: float
    y: float
    width: float


@dataclass(frozen=True)
class Segment:
    """A stretch of the clip with one photograph and one trouble."""

    photograph: str
    trouble: str
    strength: float | None
    frames: int


PATHS = {
    "chelsea": (View(0.50, 0.47, 0.99), View(0.50, 0.45, 0.86)),
    "coffee": (View(0.50, 0.43, 0.99), View(0.50, 0.385, 0.86)),
    "astronaut": (View(0.50, 0.29, 0.99), View(0.48, 0.31, 0.86)),
    "rocket": (View(0.50, 0.56, 0.95), View(0.50, 0.61, 0.82)),
}
"""First and last view; a photograph's segments go there and back in turn, so the camera never jumps within one."""

TOUR = (
    Segment("chelsea", "none", None, 70),
    Segment("chelsea", "jpeg", 3, 60),
    Segment("chelsea", "none", None, 50),
    Segment("chelsea", "defocus", 12, 50),
    Segment("coffee", "none", None, 70),
    Segment("coffee", "h264", 51, 70),
    Segment("coffee", "none", None, 50),
    Segment("coffee", "lost_packets", 0.5, 50),
    Segment("astronaut", "none", None, 70),
    Segment("astronaut", "jpeg", 2, 60),
    Segment("astronaut", "none", None, 50),
    Segment("astronaut", "motion", 45, 50),
    Segment("rocket", "none", None, 60),
    Segment("rocket", "dark", 5, 50),
    Segment("chelsea", "none", None, 50),
    Segment("chelsea", "h264", 51, 60),
    Segment("coffee", "none", None, 50),
    Segment("coffee", "jpeg", 2, 60),
    Segment("coffee", "dark", 7, 50),
    Segment("astronaut", "none", None, 50),
    Segment("astronaut", "lost_packets", 0.6, 50),
)


def pan(photograph: RGB, views: tuple[View, View], frames: int, size_hw: tuple[int, int]) -> list[RGB]:
    """Pictures along a straight, even move of the camera; (H, W, 3) uint8 RGB each."""
    height, width = size_hw
    pictures = []
    for step in np.linspace(0, 1, frames):
        x, y, share = ((1 - step) * getattr(views[0], name) + step * getattr(views[1], name) for name in vars(views[0]))
        scale = share * photograph.shape[1] / width
        left = x * photograph.shape[1] - scale * width / 2
        top = y * photograph.shape[0] - scale * height / 2
        matrix = np.array([[scale, 0, left], [0, scale, top]])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        picture = cv2.warpAffine(photograph, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
        pictures.append(np.asarray(picture, np.uint8))
    return pictures


def jpeg(pictures: list[RGB], quality: float, _: np.random.Generator) -> list[RGB]:
    """As a bad MJPEG camera sends them: every picture its own JPEG."""
    options = [cv2.IMWRITE_JPEG_QUALITY, int(quality)]
    coded = [cv2.imencode(".jpg", picture[..., ::-1], options)[1] for picture in pictures]
    return [np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1], np.uint8) for data in coded]


def h264(pictures: list[RGB], qp: float, _: np.random.Generator) -> list[RGB]:
    """Really encoded by H.264 at one quantiser for every kind of picture, and decoded again."""
    options = {"qp": str(int(qp)), "preset": "medium", "x264-params": "ipratio=1:pbratio=1:chroma-qp-offset=0"}
    return h264_decode(h264_encode(pictures, options))


def lost_packets(pictures: list[RGB], share: float, random: np.random.Generator) -> list[RGB]:
    """A good H.264 stream of which slices got lost, the only keyframe's too: the damage is there at once and stays."""
    params = f"slices={SLICES}:bframes=0:ref=1:keyint=infinite:scenecut=0:rc-lookahead=0:weightp=0"
    packets = h264_encode(pictures, {"crf": "20", "preset": "medium", "x264-params": params})
    return h264_decode([lose_slices(packet, share, random) for packet in packets])


def lose_slices(packet: bytes, share: float, random: np.random.Generator) -> bytes:
    """An Annex B packet without a random share of its slices; at least one stays."""
    units = packet.split(START_CODE)[1:]
    droppable = [index for index, unit in enumerate(units) if unit[0] & 31 in SLICE_TYPES]
    lost = {index for index in droppable if random.random() < share}
    if droppable and len(lost) == len(droppable):
        lost.discard(droppable[int(random.integers(len(droppable)))])
    return b"".join(START_CODE + unit for index, unit in enumerate(units) if index not in lost)


def defocus(pictures: list[RGB], radius: float, _: np.random.Generator) -> list[RGB]:
    """Every point becomes a disc."""
    reach = int(np.ceil(radius))
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = (rows**2 + columns**2 <= radius**2).astype(np.float64)
    return filtered(pictures, disc)


def motion(pictures: list[RGB], length: float, _: np.random.Generator) -> list[RGB]:
    """Every point becomes a slanted line, as under a shaken camera."""
    side = int(length) // 2 * 2 + 1
    line = np.zeros((side, side))
    cv2.line(line, (0, side // 3), (side - 1, side - 1 - side // 3), 1.0, 1, cv2.LINE_AA)
    return filtered(pictures, line)


def dark(pictures: list[RGB], stops: float, random: np.random.Generator) -> list[RGB]:
    """Exposure lost in linear light, and the noise of the sensor over what is left."""
    dimmed = []
    for picture in pictures:
        light = (picture / 255.0) ** 2.2 * 2.0**-stops
        light += random.normal(0, 0.0005, light.shape)
        dimmed.append(np.rint(255 * np.clip(light, 0, 1) ** (1 / 2.2)).astype(np.uint8))
    return dimmed


def clean(pictures: list[RGB], _strength: None, _: np.random.Generator) -> list[RGB]:
    """As they are."""
    return pictures


TROUBLES: dict[str, Callable[[list[RGB], Any, np.random.Generator], list[RGB]]] = {
    "none": clean,
    "jpeg": jpeg,
    "h264": h264,
    "defocus": defocus,
    "motion": motion,
    "dark": dark,
    "lost_packets": lost_packets,
}


def filtered(pictures: list[RGB], kernel: npt.NDArray[np.float64]) -> list[RGB]:
    return [np.asarray(cv2.filter2D(picture, -1, kernel / kernel.sum()), np.uint8) for picture in pictures]


def h264_encode(pictures: list[RGB], options: dict[str, str]) -> list[bytes]:
    """Annex B packets, parameter sets inside."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = pictures[0].shape[:2]
    encoder.pix_fmt, encoder.framerate, encoder.options = "yuv420p", FPS, {"threads": "1", **options}
    frames = [av.VideoFrame.from_ndarray(picture, format="rgb24") for picture in pictures]
    return [bytes(packet) for frame in [*frames, None] for packet in encoder.encode(frame)]


def h264_decode(packets: list[bytes]) -> list[RGB]:
    """Pictures of an H.264 stream; what is missing is concealed by the decoder."""
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    decoded = [frame for data in packets for frame in decoder.decode(av.Packet(data))] + decoder.decode(None)
    return [frame.to_ndarray(format="rgb24") for frame in decoded]


def segment_table(tour: tuple[Segment, ...]) -> list[dict[str, object]]:
    """What the JSON says of each segment."""
    table, first = [], 0
    for segment in tour:
        end = first + segment.frames
        table.append(
            {
                "start_seconds": first / FPS,
                "end_seconds": end / FPS,
                "first_frame": first,
                "end_frame": end,
                "photograph": segment.photograph,
                "trouble": segment.trouble,
                "strength": segment.strength,
                "unit": UNITS[segment.trouble],
            }
        )
        first = end
    return table


def shoot(tour: tuple[Segment, ...], size_hw: tuple[int, int]) -> Iterator[list[RGB]]:
    """The pictures of each segment, troubled where they should be."""
    import skimage.data

    visits = dict.fromkeys(PATHS, 0)
    for number, segment in enumerate(tour):
        there, back = PATHS[segment.photograph]
        views = (there, back) if visits[segment.photograph] % 2 == 0 else (back, there)
        visits[segment.photograph] += 1
        pictures = pan(getattr(skimage.data, segment.photograph)(), views, segment.frames, size_hw)
        random = np.random.default_rng((SEED, number))
        troubled = TROUBLES[segment.trouble](pictures, segment.strength, random)
        if len(troubled) != segment.frames:
            raise click.ClickException(f"{segment} came back from the decoder as {len(troubled)} frames")
        yield troubled


def write_clip(path: Path, segments: Iterator[list[RGB]], size_hw: tuple[int, int], crf: float) -> None:
    """H.264 yuv420p in MP4, a keyframe at the start of every segment."""
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        params = "keyint=250:scenecut=0:threads=1"
        options = {"crf": str(crf), "preset": "slow", "forced-idr": "1", "x264-params": params}
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.height, stream.width = size_hw
        stream.pix_fmt = "yuv420p"
        for pictures in segments:
            for position, picture in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pict_type = av.video.frame.PictureType.I if position == 0 else av.video.frame.PictureType.NONE
                container.mux(stream.encode(frame))
        container.mux(stream.encode())


def make_clip(out: Path, tour: tuple[Segment, ...] = TOUR, size_hw: tuple[int, int] = SIZE_HW, crf: float = 20) -> None:
    """Write the clip and, beside it, the JSON that describes it; both whole or not at all."""
    table = segment_table(tour)
    description = {
        "clip": out.name,
        "fps": FPS,
        "frames": sum(segment.frames for segment in tour),
        "size_hw": list(size_hw),
        "segments": table,
    }
    clip_part, json_part = out.with_name(f".{out.name}.part"), out.with_name(f".{out.stem}.json.part")
    try:
        write_clip(clip_part, shoot(tour, size_hw), size_hw, crf)
        json_part.write_text(json.dumps(description, indent=2) + "\n")
        os.replace(clip_part, out)
        os.replace(json_part, out.with_suffix(".json"))
    finally:
        clip_part.unlink(missing_ok=True)
        json_part.unlink(missing_ok=True)


@click.command()
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The MP4 to write.")
@click.option("--crf", default=20.0, show_default=True, help="Quality of the clip itself, x264's constant rate factor.")
def main(out: Path, crf: float) -> None:
    """Make the sample clip and its JSON."""
    try:
        make_clip(out, crf=crf)
    except ImportError as error:
        raise click.ClickException(f"{error}: run pip install 'streamfilter[train]'") from error
    except OSError as error:
        raise click.ClickException(f"{out} cannot be written: {error}") from error
    click.echo(f"{out}: {out.stat().st_size / 1e6:.2f} MB", err=True)


if __name__ == "__main__":
    main()
