"""The content as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from datetime import datetime
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import Any

from streamfilter import __version__
from streamfilter.errors import MissingExtraError
from streamfilter.report import words
from streamfilter.report.content import ClipPart, Content, Shown
from streamfilter.sinks._whole import WholeFile, writing

SCRIPTS = ("common.js", "lanes.js", "chart.js", "timeline.js", "viewer.js", "curve.js", "page.js")
NEEDS = 'the report needs Jinja2 and uPlot; run: pip install "streamfilter[report]"'


def check_extra() -> None:
    """Make sure that what the page is made with is there.

    Raises:
        MissingExtraError: it is not.
    """
    _environment()
    _plot_library()


def write(content: Content, target: Path) -> int:
    """Write the page, whole or not at all.

    Args:
        content: what it shows.
        target: the HTML file.

    Returns:
        Its size, bytes.

    Raises:
        MissingExtraError: Jinja2 or uPlot is not installed.
        OutputError: it cannot be written.
    """
    template = _environment().get_template("report.html")
    script, style = _script(), _read("report.css")
    plot, plot_style = _plot_library()
    values = {
        "content": content, "data": [_data(part) for part in content.parts], "curve": _curve(content),
        "title": _title(content), "made": f"{datetime.now().astimezone():%Y-%m-%d %H:%M}", "version": __version__,
        "style": plot_style + style, "plot": plot, "script": script, "hashes": [_hash(plot), _hash(script)],
        "facts": _facts(content), "words": words,
    }  # fmt: skip
    file = WholeFile(target)
    try:
        with writing(file.where), file.partial.open("w", encoding="utf-8", newline="\n") as stream:
            for piece in template.generate(values):
                stream.write(piece)
        size = file.partial.stat().st_size
        file.finish()
    except BaseException:
        file.discard()
        raise
    return size


def _title(content: Content) -> str:
    clips = content.evidence.clips
    return clips[0].name if len(clips) == 1 else f"{len(clips):,} clips"


def _facts(content: Content) -> list[tuple[str, str]]:
    """What is known of the run: name and value."""
    rule = content.evidence.rule
    thresholds = ", ".join(f"{task} {value:g}" for task, value in rule.thresholds.items())
    tasks = {"any": "useful to any task", "all": "useful to every task"}.get(rule.task, f"useful to {rule.task}")
    return [
        ("Model", rule.model or "not recorded"),
        ("Threshold", f"{thresholds} ({rule.origin})" if thresholds else "not recorded"),
        ("A frame counts as useful when", tasks),
        *content.evidence.facts,
    ]


def _data(part: ClipPart) -> dict[str, Any]:
    """What the page's script knows of a clip."""
    return {
        **part.timeline,
        "name": part.clip.name,
        "utcOffset": time.localtime(part.clip.began).tm_gmtoff,
        "pictures": [_shown(part, shown) for shown in part.shown],
    }


def _shown(part: ClipPart, shown: Shown) -> dict[str, Any]:
    columns, row, clip = part.clip.columns, shown.pick.row, part.clip
    spared = int(columns.spared[row])
    return {
        "seconds": float(clip.seconds[row]),
        "moment": words.moment(clip, float(clip.seconds[row])),
        "index": int(columns.index[row]),
        "keep": bool(columns.keep[row]),
        "reason": columns.reasons[columns.reason[row]],
        "spared": columns.reasons[spared] if spared >= 0 else "",
        "cause": columns.causes[columns.cause[row]],
        "utility": {task: words.score(float(columns.utility[task][row])) for task in part.timeline["tasks"]},
        "why": shown.pick.why,
        "wrong": shown.wrong,
        "problem": shown.problem,
        "boxes": shown.boxes,
        "full": shown.picture.full if shown.picture else "",
        "width": shown.picture.width if shown.picture else 0,
        "height": shown.picture.height if shown.picture else 0,
    }


def _curve(content: Content) -> dict[str, Any] | None:
    figures = content.discard
    if figures is None:
        return None
    return {key: figures[key] for key in ("shares", "curves", "ideal", "errors", "filter")}


def _script() -> str:
    return "(() => {\n'use strict';\n" + "\n".join(_read(name) for name in SCRIPTS) + "\n})();\n"


def _read(name: str) -> str:
    return (files("streamfilter.report") / "templates" / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """What a Content-Security-Policy calls a script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _environment() -> Any:
    try:
        import jinja2
    except ImportError as error:
        raise MissingExtraError(NEEDS) from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("streamfilter.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["json"] = _json
    return environment


def _json(value: object) -> Any:
    """JSON that may stand inside a script element."""
    from markupsafe import Markup

    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _plot_library() -> tuple[str, str]:
    """uPlot's script and style, out of the package that carries them."""
    try:
        package = metadata.distribution("uplot-python")
        folder = Path(str(package.locate_file("uplot/static")))
        script, style = (folder / name for name in ("uPlot.iife.js", "uPlot.min.css"))
        return script.read_text(encoding="utf-8"), style.read_text(encoding="utf-8")
    except (metadata.PackageNotFoundError, OSError) as error:
        raise MissingExtraError(NEEDS) from error
