"""Which frames of a live stream data losses may have damaged. Pure: the state goes in and comes back.

A decoder's own flags miss most damage: it conceals what is lost and goes on from there, frame by frame, until the next
keyframe. So whatever goes missing opens a *taint window*, and the next intact keyframe closes it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from streamfilter.frame import Signs


class Soundness(Enum):
    """What can be said of a frame before looking at it."""

    SOUND = "sound"
    """Nothing it depends on was lost."""
    TAINTED = "tainted"
    """Something that it depends on was lost: the damage may be anywhere, or nowhere."""
    AWAITING_KEYFRAME = "awaiting_keyframe"
    """It came before the first intact keyframe of its connection."""


@dataclass(frozen=True)
class IntegrityState:
    """What is remembered of one stream between two frames."""

    soundness: Soundness = Soundness.AWAITING_KEYFRAME
    """Of the last frame."""
    is_open: bool = False
    """Whether the frames that follow depend on something that was lost."""
    connection: int = -1
    """The connection it came by."""
    connected_seconds: float = 0.0
    """When the first frame of that connection came."""
    damage: float = 0.0
    """Share of the picture made up since the window opened, 0-1: what was concealed adds up until a keyframe."""


def inspect(state: IntegrityState, signs: Signs, clock_seconds: float, grace_seconds: float) -> IntegrityState:
    """Whether one more frame can be trusted.

    Args:
        state: what the last frame of this stream left behind; `IntegrityState()` at its start.
        signs: what the way of the frame says.
        clock_seconds: when it came.
        grace_seconds: how long to wait for an intact keyframe after a connect; a stream that has none by then (some
            refresh their picture bit by bit) counts as tainted instead.

    Returns:
        The state with this frame's soundness.
    """
    if signs.connection != state.connection:
        state = IntegrityState(connection=signs.connection, connected_seconds=clock_seconds)
    if signs.is_keyframe and not signs.errors:
        # What is missing may also be the next frame's: it is noticed between the two.
        return replace(state, soundness=Soundness.SOUND, is_open=signs.gap, damage=0.0)
    is_open = state.is_open or signs.gap or signs.errors
    damage = min(1.0, (0.0 if signs.is_keyframe else state.damage) + signs.concealed_share)
    if state.soundness is Soundness.AWAITING_KEYFRAME:
        grace_is_over = clock_seconds - state.connected_seconds > grace_seconds
        soundness = Soundness.TAINTED if grace_is_over else Soundness.AWAITING_KEYFRAME
    else:
        soundness = Soundness.TAINTED if is_open else Soundness.SOUND
    return replace(state, soundness=soundness, is_open=is_open or soundness is Soundness.TAINTED, damage=damage)
