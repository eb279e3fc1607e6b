"""What a failed connect means: one line, and whether another try may mend it."""

from __future__ import annotations

import errno
import glob
from typing import TYPE_CHECKING

from streamfilter.address import mask
from streamfilter.errors import InputError
from streamfilter.sources.base import ConnectionRefused
from streamfilter.sources.container import reason

if TYPE_CHECKING:
    import av

LogLines = list[tuple[int, str, str]]

NO_DEVICE = (errno.ENOTTY, errno.EISDIR, errno.EINVAL, errno.ENXIO)


def refusal(uri: str, error: av.FFmpegError, logs: LogLines, open_timeout_seconds: float, is_late: bool) -> InputError:
    """The error to raise for a network address that could not be opened.

    Args:
        uri: the address, as the user gave it.
        error: what FFmpeg raised.
        logs: what it said meanwhile: level, component, message.
        open_timeout_seconds: how long it had.
        is_late: whether the time was up, whatever FFmpeg made of the half it had.
    """
    import av

    name = mask(uri)
    if isinstance(error, av.error.ProtocolNotFoundError):
        return ConnectionRefused(
            f"{name} cannot be read: the FFmpeg of this PyAV ({av.__version__}) has no {uri.partition('://')[0]}://; "
            "let a media server pass the stream on as rtsp://"
        )
    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        return ConnectionRefused(f"{name} refuses the user or password (401/403); check them")
    if isinstance(error, av.error.HTTPNotFoundError):
        return InputError(f"{name} is not there (404); check the path")
    if isinstance(error, av.error.ExitError | av.error.TimeoutError) or is_late:
        return InputError(f"{name} did not answer within {open_timeout_seconds:g} s; check address and network")
    if isinstance(error, av.error.ConnectionRefusedError):
        return InputError(f"{name} refuses the connection; check that the server runs and the port is right")
    return InputError(f"{name} cannot be opened ({_detail(error, logs)}); check the address")


def device_refusal(path: str, error: av.FFmpegError, logs: LogLines) -> InputError:
    """The error to raise for a V4L2 device that could not be opened; one that is not there may yet be plugged in."""
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENOTDIR):
        present = ", ".join(sorted(glob.glob("/dev/video*"))) or "none"
        return InputError(f"there is no camera {path}; plug it in or check the name (devices here: {present})")
    if error.errno in (errno.EACCES, errno.EPERM):
        return ConnectionRefused(f"no permission to open {path}; add the user to the group of the device, often video")
    if error.errno in NO_DEVICE:
        return ConnectionRefused(f"{path} is no V4L2 device ({reason(error)}); give one such as /dev/video0")
    return InputError(f"{path} cannot be opened ({_detail(error, logs)}); check the device")


def _detail(error: av.FFmpegError, logs: LogLines) -> str:
    import av

    said = [message.strip() for level, _, message in logs if level <= av.logging.ERROR]
    return f"{reason(error)}: {mask(said[-1])}" if said else reason(error)
