"""Kept frames as MJPEG into ffmpeg, which does what its arguments say:
python samples/ffmpeg_consumer.py CLIP -c:v libx264 out/kept.mp4"""

import shutil
import subprocess
import sys

import cv2

from streamfilter import Frame, StreamFilter


def main() -> None:
    clip, *arguments = sys.argv[1:]
    if shutil.which("ffmpeg") is None:
        sys.exit("ffmpeg is not on PATH; install it with your system's package manager")
    command = ["ffmpeg", "-loglevel", "error", "-y", "-f", "mjpeg", "-i", "-", *(arguments or ["-f", "null", "-"])]
    try:
        with subprocess.Popen(command, stdin=subprocess.PIPE) as ffmpeg:

            def send(frame: Frame) -> None:
                ffmpeg.stdin.write(cv2.imencode(".jpg", frame.rgb[..., ::-1])[1].tobytes())

            summary = StreamFilter().pass_to(clip, send)
    except BrokenPipeError:
        sys.exit("ffmpeg stopped reading; its own message is above")
    if ffmpeg.returncode != 0:
        sys.exit(f"ffmpeg ended with status {ffmpeg.returncode}; its own message is above")
    print(f"{summary.frames_kept} of {summary.frames_read} frames sent to ffmpeg", file=sys.stderr)
    if summary.failures:
        sys.exit(summary.failures[0])


if __name__ == "__main__":
    main()
