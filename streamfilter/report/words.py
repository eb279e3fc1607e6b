"""Numbers, times and names as the page says them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from streamfilter.frame import Cause, Reason
from streamfilter.report.clips import Clip, Clock

MEANINGS: dict[str, str] = {
    Reason.USEFUL: "the utility reaches the threshold",
    Reason.HYSTERESIS: "just under the threshold, after a kept frame",
    Reason.GAP_FLOOR: "nothing was kept for the longest gap allowed",
    Reason.CANARY: "would have been dropped, drawn at random to be looked at",
    Reason.SHADOW: "would have been dropped, but shadow mode drops nothing",
    Reason.RELEASED: "data was lost, the utility reaches the stricter threshold",
    Reason.LOW_UTILITY: "the utility is under the threshold",
    Reason.UNREADABLE: "could not be decoded",
    Reason.TAINTED: "data was lost, the utility is under the stricter threshold",
    Reason.AWAITING_KEYFRAME: "before the first whole keyframe of a connection",
    Reason.OVERFLOW: "the consumer was slow, newer frames took its place",
    Reason.STALE: "the consumer was slow, it had waited too long",
    Reason.OUTRANKED: "the consumer was slow, a more useful frame went first",
    Reason.STOPPED: "the run or its stream ended",
    Cause.COMPRESSION: "blocks and ringing of a codec at too low a rate",
    Cause.BLUR: "out of focus, smeared by motion, or scaled up",
    Cause.NOISE: "noise of the sensor",
    Cause.DARK: "too dark",
    Cause.OVER_EXPOSED: "too bright",
    Cause.DAMAGED: "parts are missing or made up after lost data",
    Cause.COVERED: "something hides the scene",
    Cause.FROZEN: "the same picture for a long time",
}


DASH = "-"
"""What stands where there is nothing to say."""


def words(name: str) -> str:
    """`low_utility` as `low utility`."""
    return name.replace("_", " ")


def meaning(name: str) -> str:
    """What a reason or cause says, in a few words; empty for one that is not known."""
    return MEANINGS.get(name, "")


def colour(kind: str, name: str) -> str:
    """The style sheet's name for the colour of a `reason` or `cause`."""
    return f"--{kind}-{name}" if name in MEANINGS else "--muted"


def listed(counts: Mapping[str, int]) -> str:
    """`low utility 12, tainted 3`; a dash when there are none."""
    return ", ".join(f"{words(name)} {count(number)}" for name, number in counts.items()) or DASH


def count(number: int) -> str:
    """12345 as 12,345."""
    return f"{number:,}"


def percent(share: float | None) -> str:
    """0.0523 as 5.2 %; a dash for None."""
    if share is None:
        return DASH
    return f"{share:.1%}".replace("%", " %")


def score(value: float | None) -> str:
    """A utility with two decimals; a dash for None."""
    return DASH if value is None or value != value else f"{value:.2f}"


def duration(seconds: float) -> str:
    """4.2 s, 1 min 05 s, 2 h 03 min."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds >= 1 or seconds == 0 else f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def length(clip: Clip, amount: float) -> str:
    """A stretch of a clip's timeline: a duration, or frames where there is no clock."""
    return f"{amount:,.0f} frame{'s' * (amount != 1)}" if clip.clock is Clock.ORDER else duration(amount)


def moment(clip: Clip, seconds: float) -> str:
    """A time on a clip's timeline: 1:02.40, 14:03:07 of a day, or #12 where there is no clock."""
    if clip.clock is Clock.ORDER:
        return f"#{seconds:,.0f}"
    if clip.clock is Clock.WALL:
        return f"{datetime.fromtimestamp(clip.began + seconds, UTC).astimezone():%Y-%m-%d %H:%M:%S}"
    sign, hundredths = "-" if seconds < 0 else "", round(abs(seconds) * 100)
    minutes, rest = divmod(hundredths, 6000)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{sign}{clock}:{rest / 100:05.2f}"
