"""The report of a ten-minute clip in a real browser, from file://, with nothing but the file."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.browser import Browser, chromium, need_chromium
from tests.live_servers import wait_until
from tests.media import loop_video, moving_pictures, write_video
from tests.models import brightness_model
from tests.report_data import record, write_lines

PATIENCE = 60.0
COMMAND = [sys.executable, "-m", "streamfilter"]
INK = """
const canvas = document.querySelector(arguments[0] + ' canvas');
const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', {willReadFrequently: true});
copy.drawImage(canvas, 0, 0);
const pixels = copy.getImageData(0, 0, canvas.width, canvas.height).data;
const colours = new Set();
let inked = 0;
for (let place = 0; place < pixels.length; place += 4) {
  if (!pixels[place + 3]) continue;
  inked += 1;
  colours.add(`${pixels[place]},${pixels[place + 1]},${pixels[place + 2]}`);
}
return {share: inked / (pixels.length / 4), colours: [...colours]};
"""
CONTRASTS = """
const number = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
const light = ([r, g, b]) => [r, g, b].map((value) => value / 255)
  .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
  .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
const ground = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = number(getComputedStyle(at).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  const isBlank = !walker.currentNode.textContent.trim() || !element.checkVisibility();
  if (isBlank || element.closest('script, :disabled')) continue;
  const [a, b] = [light(number(getComputedStyle(element).color)), light(ground(element))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) found.push(`${ratio.toFixed(2)}: ${walker.currentNode.textContent.trim().slice(0, 40)}`);
}
return found;
"""


def run(*words: object, folder: Path) -> None:
    subprocess.run([*COMMAND, *map(str, words)], cwd=folder, check=True, capture_output=True, timeout=240)


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """The report of a real run over ten minutes: 15,000 frames, half of them dark."""
    need_chromium()
    folder = tmp_path_factory.mktemp("page")
    pictures = moving_pictures(50)
    pictures = [np.asarray(picture // (1 if index < 25 else 6), np.uint8) for index, picture in enumerate(pictures)]
    write_video(folder / "short.mp4", pictures, options={"g": "25", "preset": "ultrafast"})
    loop_video(folder / "short.mp4", 300, folder / "clip.mp4")
    model = brightness_model(folder / "model.onnx")
    words = ["--model", model, "--threshold", "0.2", "--max-gap", "0", "--batch-size", "64"]
    run("run", "clip.mp4", *words, "--records", "log.jsonl", folder=folder)
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert len(lines) == 15_000
    boxes = [{"label": "cat", "score": 0.5, "box": [10, 10, 60, 60]}]
    same = {"input": "clip.mp4", "detections": boxes, "reference": boxes}
    outputs = [{**same, "index": line["index"], "error": not line["keep"]} for line in lines]
    write_lines(folder / "consumer.jsonl", outputs)
    words = ["--threshold", "0.2", "--consumer-outputs", "consumer.jsonl", "--out", "page.html"]
    run("report", "log.jsonl", *words, folder=folder)
    return folder / "page.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    need_chromium()
    with chromium() as browser:
        yield browser


@pytest.fixture
def opened(browser, page) -> Browser:
    browser.resize(1280, 900)
    browser.prefer("light")
    browser.open(page)
    browser.wait_for("document.querySelector('section[data-ready] canvas')")
    return browser


def settled(browser: Browser) -> None:
    """Wait until what was asked for is drawn."""
    code = "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()))"
    browser.driver.execute_async_script(code)


def timeline(browser: Browser) -> np.ndarray:
    """A picture of the timeline once it stays the same."""
    pictures = [browser.picture(".timeline .chart")]

    def is_still() -> bool:
        pictures.append(browser.picture(".timeline .chart"))
        return np.array_equal(pictures[-1], pictures[-2])

    wait_until(is_still, PATIENCE, "the timeline stays the same")
    return pictures[-1]


def test_the_timeline_is_drawn(opened):
    wait_until(lambda: opened.js(INK, ".timeline")["share"] > 0.03, PATIENCE, "the timeline is drawn")
    ink = opened.js(INK, ".timeline")
    wanted = [
        opened.js("const s = document.createElement('i'); s.style.color = `var(${arguments[0]})`;"
                  "document.body.append(s); const c = getComputedStyle(s).color; s.remove(); return c", name)
        for name in ("--task-0", "--task-1", "--reason-low_utility")
    ]  # fmt: skip
    assert all(",".join(colour[4:-1].split(", ")) in ink["colours"] for colour in wanted)
    wait_until(lambda: opened.js(INK, "#curve")["share"] > 0.005, PATIENCE, "the curve is drawn")


def test_nothing_is_asked_of_a_network_and_nothing_complained_of(opened):
    opened.click(".thumb")
    opened.press("ESCAPE")
    assert opened.console_errors() == []
    assert opened.network_requests() == []
    assert any(address.startswith("file://") for address in opened.requests())


def test_a_picture_opens_by_click_and_closes_by_escape(opened):
    opened.click(".thumb")
    assert opened.js("return document.getElementById('viewer').open")
    assert opened.js("return document.querySelector('#viewer img').naturalWidth") == 128
    assert "low utility" in opened.find("#viewer").text
    assert len(opened.js("return [...document.querySelectorAll('#viewer rect')]")) == 2
    opened.click("#viewer [data-part=boxes]")
    assert opened.js("return document.querySelectorAll('#viewer rect').length") == 0
    opened.press("ESCAPE")
    assert not opened.js("return document.getElementById('viewer').open")


def test_pictures_are_reached_and_turned_by_keys(opened):
    opened.js("document.querySelector('.thumb').focus()")
    opened.press("TAB", "ENTER")
    assert opened.js("return document.getElementById('viewer').open")
    second = opened.find("#viewer [data-part=count]").text
    opened.press("ARROW_RIGHT")
    assert (second.split()[0], opened.find("#viewer [data-part=count]").text.split()[0]) == ("2", "3")
    opened.press("ARROW_LEFT", "HOME")
    assert opened.find("#viewer [data-part=count]").text.startswith("1 of")
    assert opened.js("return document.querySelector('#viewer img').alt").startswith("Frame ")
    opened.press("ESCAPE")
    opened.wait_for("document.activeElement.id === 'picture-0-0'")  # told of by an event after the dialog has closed


def test_the_timeline_is_read_and_zoomed_by_keys(opened):
    spoken = "return document.querySelector('.spoken').textContent"
    opened.js("document.querySelector('.timeline .chart').focus()")
    opened.press("HOME")
    assert opened.js(spoken).startswith("0:00.00 · frame 0 · classification 0.")
    opened.press(*["+"] * 9, "ARROW_RIGHT")
    assert " · frame 1 · " in opened.js(spoken)
    opened.press("0", "END")
    assert " · frame 14999 · " in opened.js(spoken)
    assert "dropped: low utility" in opened.js(spoken)
    opened.press("ENTER")
    assert opened.js("return document.getElementById('viewer').open")
    opened.press("ESCAPE")


def test_zooming_draws_every_frame(opened):
    settled(opened)
    before = timeline(opened)
    for _ in range(8):
        opened.click("[data-do=in]")
    settled(opened)
    assert opened.picture(".timeline .chart").shape == before.shape

    def changed() -> float:
        return float((opened.picture(".timeline .chart") != before).any(axis=2).mean())

    wait_until(lambda: changed() > 0.02, PATIENCE, "the timeline is zoomed")
    opened.click("[data-do=whole]")
    wait_until(lambda: changed() < 0.001, PATIENCE, "the timeline is whole again")


def test_a_gap_is_shown_in_the_timeline(opened):
    before = timeline(opened)
    opened.click("[data-from]")
    wait_until(lambda: (timeline(opened) != before).any(axis=2).mean() > 0.02, PATIENCE, "the gap is shown")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_system_and_can_be_read(opened, scheme):
    opened.prefer(scheme)
    opened.js("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    brightness = (200, 256) if scheme == "light" else (-1, 60)
    wait_until(lambda: brightness[0] < opened.picture()[5, 5].mean() < brightness[1], PATIENCE, f"the page is {scheme}")
    assert opened.js(CONTRASTS) == []
    opened.click(".thumb")
    assert opened.js(CONTRASTS) == []
    opened.press("ESCAPE")


def test_the_switch_wins_over_the_system(opened):
    opened.js("document.querySelector('input[value=dark]').focus()")
    opened.press("SPACE")
    wait_until(lambda: opened.picture()[5, 5].mean() < 60, PATIENCE, "the page is dark")
    settled(opened)
    dark = opened.js(INK, ".timeline")["colours"]
    opened.press("ARROW_LEFT")
    wait_until(lambda: opened.picture()[5, 5].mean() > 200, PATIENCE, "the page is light")
    wait_until(lambda: opened.js(INK, ".timeline")["colours"] != dark, PATIENCE, "the timeline is light")


def test_a_narrow_page_does_not_scroll_sideways(opened):
    opened.resize(400, 800)
    opened.wait_for("document.documentElement.scrollWidth === 400")
    wait_until(lambda: opened.js(INK, ".timeline")["share"] > 0.03, PATIENCE, "the timeline is drawn")


def test_everything_that_acts_has_a_name(opened):
    nameless = """
    const acting = [...document.querySelectorAll('button, a, input, [tabindex="0"], img, dialog, section')];
    return acting.filter((element) => {
      const by = (element.getAttribute('aria-labelledby') || '').split(' ').map((id) => document.getElementById(id));
      return !(element.textContent.trim() || element.getAttribute('aria-label') || element.alt || by.some(Boolean)
        || element.labels?.length) && element.checkVisibility();
    }).map((element) => element.outerHTML.slice(0, 80));
    """
    assert opened.js(nameless) == []
    levels = opened.js("return [...document.querySelectorAll('h1, h2, h3')].map((head) => Number(head.tagName[1]))")
    assert levels[0] == 1
    assert max(np.diff(levels)) <= 1
    assert opened.js("return document.querySelectorAll('main').length") == 1


def test_many_clips_are_sorted_and_lead_to_their_sections(browser, tmp_path):
    lines = [record(i, 0.1 if i < number else 0.9, input=f"{number}.mp4") for number in range(12) for i in range(20)]
    write_lines(tmp_path / "log.jsonl", lines)
    run("report", "log.jsonl", "--threshold", "0.5", "--out", "many.html", folder=tmp_path)
    browser.resize(1280, 900)
    browser.open(tmp_path / "many.html")
    first = "return document.querySelector('.sortable tbody th').textContent"
    assert browser.js(first) == "0.mp4"
    browser.js("document.querySelectorAll('.sortable th button')[2].focus()")
    browser.press("ENTER")
    assert browser.js(first) == "11.mp4"
    assert browser.js("return document.querySelectorAll('.sortable th')[2].getAttribute('aria-sort')") == "ascending"
    browser.press("ENTER")
    assert browser.js(first) == "0.mp4"
    browser.press("ENTER")
    browser.click(".sortable tbody a")
    browser.wait_for("document.querySelector('#clip-11[data-ready] canvas')")
    settled(browser)
    assert browser.js(INK, "#clip-11")["share"] > 0.02
    assert browser.console_errors() == []
