"""Every exception this package raises on purpose.

    StreamFilterError
    ├── InputError              a source cannot be opened or read to its end
    │   └── InputNotFoundError      (also FileNotFoundError)
    ├── PictureError            one picture cannot be decoded, or is larger than the bound
    ├── OutputError             a sink cannot be written (disk full, no permission, closed pipe)
    ├── ModelError              a model file is missing, corrupt or carries no spec
    ├── DeviceError             the device asked for is not there
    ├── ConfigError             one or more settings are out of range (all are listed)
    ├── ConsumerError           the user's own detector or classifier failed, or returned nonsense
    ├── CalibrationError        the data do not carry the promise asked for
    ├── ShapeError              arrays disagree in shape or dtype (also ValueError)
    └── MissingExtraError       an optional dependency is not installed (also ImportError)

Messages are one line: what is wrong, where, and what to do.
"""


class StreamFilterError(Exception):
    """Base of all errors raised on purpose."""


class InputError(StreamFilterError):
    """A source cannot be opened, or cannot be read to its end."""


class InputNotFoundError(InputError, FileNotFoundError):
    """The file, folder or pattern named as an input does not exist."""


class PictureError(StreamFilterError):
    """One picture cannot be decoded, or its declared size is over the bound."""


class OutputError(StreamFilterError):
    """A sink cannot be opened or written."""


class ModelError(StreamFilterError):
    """A model file is missing, corrupt, or has no usable spec."""


class DeviceError(StreamFilterError):
    """The device asked for is not available."""


class ConfigError(StreamFilterError):
    """Settings are out of range; the message lists every one of them."""


class ConsumerError(StreamFilterError):
    """The user's own detector or classifier failed, or returned something that is no answer."""


class CalibrationError(StreamFilterError):
    """No threshold can be chosen: too few blocks for the bound, nothing useful, or nothing useless."""


class ShapeError(StreamFilterError, ValueError):
    """Arrays disagree in shape or dtype; the message gives expected and actual."""


class MissingExtraError(StreamFilterError, ImportError):
    """An optional dependency is needed; the message names the extra to install."""


def first_line(error: Exception) -> str:
    """What an error of another library says, as part of one line of ours; its type when it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
