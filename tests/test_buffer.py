"""The read-ahead buffer: order, bounds, errors and ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from streamfilter.buffer import Buffer
from streamfilter.errors import InputError
from streamfilter.frame import Frame
from streamfilter.sources import SourceInfo, VideoSource
from tests.media import moving_pictures, write_video

PIXELS = np.zeros((2, 2, 3), dtype=np.uint8)


class Counting:
    """A source of `count` frames that tells how many were asked for and then ends, fails or waits."""

    name = "counting"
    is_live = False
    info = SourceInfo()
    failure = None

    def __init__(self, count: int, error: Exception | None = None, silent: bool = False) -> None:
        self.count, self.error, self.silent = count, error, silent
        self.read = 0
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.count):
            self.read += 1
            yield Frame(self.name, index, array=PIXELS)
        if self.silent:
            self.closed.wait(timeout=30)
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.closed.set()


def indices(frames: list[Frame]) -> list[int]:
    return [frame.index for frame in frames]


def reader_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "reader of counting"]


@pytest.mark.parametrize("capacity", [1, 3, 100])
def test_frames_come_in_order_and_none_is_lost(capacity: int) -> None:
    source = Counting(50)
    with Buffer(source, capacity) as buffer:
        assert indices(list(buffer)) == list(range(50))
        assert buffer.get_batch(1, 0) == []
    assert source.closed.is_set()
    assert reader_threads() == []


def test_reader_waits_when_the_buffer_is_full() -> None:
    source = Counting(1000)
    with Buffer(source, capacity=4) as buffer:
        time.sleep(0.3)
        assert source.read == 5
        assert indices(buffer.get_batch(100, 0)) == [0, 1, 2, 3]


@pytest.mark.parametrize("max_frames", [1, 3, 8])
def test_batches_are_full_until_the_end(max_frames: int) -> None:
    with Buffer(Counting(20), capacity=8) as buffer:
        batches = list(iter(lambda: buffer.get_batch(max_frames, 5.0), []))
    assert [frame for batch in map(indices, batches) for frame in batch] == list(range(20))
    assert {len(batch) for batch in batches[:-1]} == {max_frames}


def test_batch_larger_than_the_buffer_does_not_wait_for_what_cannot_come() -> None:
    with Buffer(Counting(1000), capacity=4) as buffer:
        started = time.monotonic()
        assert len(buffer.get_batch(8, 20.0)) >= 4
        assert time.monotonic() - started < 10


def test_partial_batch_is_given_after_the_timeout() -> None:
    with Buffer(Counting(3, silent=True)) as buffer:
        assert indices(buffer.get_batch(8, 0.2)) == [0, 1, 2]


def test_error_of_the_source_comes_after_its_frames_and_is_the_same() -> None:
    error = InputError("the disk is gone")
    with Buffer(Counting(3, error)) as buffer:
        assert indices(buffer.get_batch(8, 5.0)) == [0, 1, 2]
        with pytest.raises(InputError) as caught:
            buffer.get_batch(8, 5.0)
        assert caught.value is error
        assert buffer.get_batch(8, 5.0) == []


def test_stop_ends_the_wait_for_a_silent_source() -> None:
    stop = threading.Event()
    timer = threading.Timer(0.2, stop.set)
    with Buffer(Counting(0, silent=True)) as buffer:
        timer.start()
        started = time.monotonic()
        assert buffer.get_batch(8, 30.0, stop) == []
        assert time.monotonic() - started < 5
    timer.join(timeout=5)


@pytest.mark.parametrize("source", [Counting(1000), Counting(0, silent=True)], ids=["full", "silent"])
def test_close_is_prompt_and_ends_the_reader(source: Counting) -> None:
    buffer = Buffer(source, capacity=2)
    time.sleep(0.1)
    started = time.monotonic()
    buffer.close()
    buffer.close()
    assert time.monotonic() - started < 2
    assert reader_threads() == []
    assert source.closed.is_set()
    assert buffer.get_batch(1, 0) == []


def test_close_wakes_a_waiting_consumer() -> None:
    buffer = Buffer(Counting(0, silent=True))
    timer = threading.Timer(0.2, buffer.close)
    timer.start()
    assert list(buffer) == []
    timer.join(timeout=5)


def test_source_is_closed_when_the_consumer_fails() -> None:
    source = Counting(1000)
    with pytest.raises(RuntimeError, match="consumer"), Buffer(source):
        raise RuntimeError("consumer")
    assert source.closed.is_set()


@pytest.mark.parametrize("taken", [0, 3, 40])
def test_video_can_be_left_at_any_time(tmp_path: Path, taken: int) -> None:
    path = write_video(tmp_path / "clip.mp4", moving_pictures(30))
    with Buffer(VideoSource(path), capacity=4) as buffer:
        frames = list(islice(buffer, taken))
    assert indices(frames) == list(range(min(taken, 30)))
    assert all(frame.rgb.shape == (96, 128, 3) for frame in frames)


def test_capacity_is_at_least_one() -> None:
    with pytest.raises(ValueError, match="expected at least 1"):
        Buffer(Counting(1), capacity=0)


def test_large_frames_are_bounded_by_their_bytes() -> None:
    """Room for two and a half frames: never more than two are read ahead, and a batch does not wait for a third."""
    source = Counting(10)
    with Buffer(source, capacity=8, max_bytes=PIXELS.nbytes * 5 // 2) as buffer:
        batches = [buffer.get_batch(8, 30.0)]
        while batches[-1]:
            batches.append(buffer.get_batch(8, 30.0))
    assert [frame.index for batch in batches for frame in batch] == list(range(10))
    assert max(map(len, batches)) == 2


def test_one_frame_is_held_however_large_it_is() -> None:
    with Buffer(Counting(3), capacity=8, max_bytes=1) as buffer:
        assert indices(list(buffer)) == [0, 1, 2]
