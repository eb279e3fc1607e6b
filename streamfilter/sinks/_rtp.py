"""Pictures as H.264 in RTP packets."""

from __future__ import annotations

import base64
import re
from fractions import Fraction
from typing import TYPE_CHECKING

from streamfilter.sinks._clock import TIME_BASE
from streamfilter.sinks._encoders import PIXEL_FORMAT
from streamfilter.sinks._pictures import Picture, stamped

if TYPE_CHECKING:
    import av

KEYFRAME_SECONDS = 2.0
NOMINAL_FPS = 25
# Players that join late need the parameter sets with each keyframe, the session's description needs them beforehand.
ENCODER = {"preset": "veryfast", "tune": "zerolatency", "forced-idr": "1", "x264-params": "repeat-headers=1"}
PACKET_BYTES = 1400
PAYLOAD_TYPE = 96
SEQUENCE_PARAMETERS, PICTURE_PARAMETERS = 7, 8


class PacketList(list[bytes]):
    """What FFmpeg wrote, a file to it."""

    def write(self, packet: bytes) -> int:
        """Take one packet."""
        self.append(bytes(packet))
        return len(packet)


class Encoder:
    """H.264 in RTP packets.

    Args:
        shape: of all frames.
        crf: constant rate factor, 0-51.

    Raises:
        av.FFmpegError: x264 does not take such frames.
    """

    def __init__(self, shape: Picture, crf: int) -> None:
        import av

        self.shape = shape
        self._packets = PacketList()
        # FFmpeg's own RTSP publisher ignores writes that fail or never end, and holds up the whole process meanwhile;
        # here it only packs, and a socket of ours sends.
        self._container = av.open(
            self._packets,
            "w",
            format="rtp",
            container_options={"packetsize": str(PACKET_BYTES)},
            buffer_size=2 * PACKET_BYTES,
        )
        settings = {**ENCODER, "crf": str(crf)}
        self._stream = self._container.add_stream(
            "libx264",
            rate=NOMINAL_FPS,
            time_base=TIME_BASE,
            width=shape.width,
            height=shape.height,
            options=settings,
        )
        self._stream.codec_context.pix_fmt = PIXEL_FORMAT
        self._stream.codec_context.sample_aspect_ratio = shape.aspect
        self._stream.codec_context.flags |= av.codec.context.Flags.global_header
        self._container.start_encoding()
        self._key_at: int | None = None

    def packets(self, picture: av.VideoFrame, tick: int) -> list[bytes]:
        """RTP and RTCP packets of the next frame, shown at `tick`, in units of 1/60000 s.

        Raises:
            av.FFmpegError: it cannot be encoded.
        """
        with stamped(picture, tick, self._kind(tick)) as ready:
            self._container.mux(self._stream.encode(ready))
        packets = list(self._packets)
        self._packets.clear()
        return packets

    def close(self) -> None:
        """Free it."""
        self._container.close()

    def _kind(self, tick: int) -> int:
        """Picture type: a keyframe every two seconds of the stream's own time, so that players can join."""
        import av

        if self._key_at is None or (tick - self._key_at) * TIME_BASE >= Fraction(KEYFRAME_SECONDS):
            self._key_at = tick
            return int(av.video.frame.PictureType.I)
        return int(av.video.frame.PictureType.NONE)

    def description(self, host: str) -> str:
        """What a session holds, as SDP (RFC 8866, RFC 6184)."""
        units = re.split(b"\0\0\0?\1", self._stream.codec_context.extradata or b"")
        sets = [unit for unit in units if unit and unit[0] & 31 in (SEQUENCE_PARAMETERS, PICTURE_PARAMETERS)]
        parameters = ",".join(base64.b64encode(unit).decode() for unit in sets)
        family = "IP6" if ":" in host else "IP4"
        lines = (
            "v=0", f"o=- 0 0 IN {family} {host}", "s=streamfilter", f"c=IN {family} {host}", "t=0 0",
            f"m=video 0 RTP/AVP {PAYLOAD_TYPE}", f"a=rtpmap:{PAYLOAD_TYPE} H264/90000",
            f"a=fmtp:{PAYLOAD_TYPE} packetization-mode=1;profile-level-id={sets[0][1:4].hex()};"
            f"sprop-parameter-sets={parameters}",
            "a=control:streamid=0",
        )  # fmt: skip
        return "\r\n".join([*lines, ""])
