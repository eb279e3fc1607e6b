// One stream on the page. All text comes in as text, never as markup.

import { draw } from "./timeline.js";

const TONES = {
  playing: "good", connected: "good",
  connecting: "rest", starting: "rest", added: "rest", closed: "rest", ended: "rest", removed: "rest",
  failed: "bad",
};
const SILENT_SECONDS = 3;

export const words = (name) => name.replaceAll("_", " ");
const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hourCycle: "h23" });
const scores = (utility) =>
  utility === null ? "not scored" : Object.entries(utility).map(([task, value]) => `${task} ${value.toFixed(2)}`).join(", ");

/** The score that came nearest to its threshold: it says how close the decision was. */
function nearest(utility, thresholds) {
  const tasks = Object.keys(utility ?? {}).filter((task) => task in thresholds);
  if (!tasks.length) return "not scored";
  const margin = (task) => utility[task] - thresholds[task];
  const best = tasks.reduce((one, other) => (margin(other) > margin(one) ? other : one));
  return `${best} ${utility[best].toFixed(2)}`;
}

function element(tag, text = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = className;
  return made;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export class Card {
  constructor(name, span, view) {
    this.root = document.getElementById("card").content.firstElementChild.cloneNode(true);
    this.root.dataset.stream = name;
    this.span = span;
    this.view = view;
    this.points = [];
    this.tasks = null;
    this.find("h2").textContent = name;
    this.root.setAttribute("aria-label", `stream ${name}`);
  }

  find(selector) {
    return this.root.querySelector(selector);
  }

  /** Take over the points of a message; those of a whole one replace all. */
  learn(stream, isWhole, second) {
    const from = isWhole ? Infinity : stream.points.length ? stream.points[0][0] : Infinity;
    const old = isWhole ? [] : this.points.filter(([at]) => at < from && at > second - this.span);
    this.points = [...old, ...stream.points];
    // Pictures and events come only when there are new ones.
    const { shots = [], events = [] } = this.stream ?? {};
    this.stream = { shots, events, ...stream, points: this.points };
    this.second = second;
  }

  render() {
    const stream = this.stream;
    const badge = this.find(".state");
    setText(badge, words(stream.state));
    badge.dataset.tone = TONES[stream.state] ?? "warn";
    setText(this.find(".uri"), stream.uri);
    this.find(".detail").hidden = !stream.detail;
    setText(this.find(".detail"), stream.detail);
    this.figures(stream);
    this.reasons(stream.rates);
    this.shots(stream);
    this.events(stream.events);
    this.legend(stream);
  }

  /** Draw the timeline, if it is on the screen or could be scrolled there within a moment. */
  draw() {
    const { top, bottom } = this.root.getBoundingClientRect();
    const isNear = bottom > -window.innerHeight && top < 2 * window.innerHeight;
    if (isNear) draw(this.find("canvas"), this.stream, this.second, this.span);
  }

  figures(stream) {
    const { seconds, kept, dropped } = stream.rates;
    const total = (counts) => Object.values(counts).reduce((sum, count) => sum + count, 0);
    const read = total(kept) + total(dropped);
    const rate = (count) => [(count / seconds).toFixed(1), "/s"];
    const share = (count) => (read ? `/s, ${Math.round((100 * count) / read)} %` : "/s");
    const milliseconds = (value) => (value === undefined ? ["–", ""] : [value < 10 ? value.toFixed(1) : value.toFixed(0), "ms"]);
    const shown = {
      read: rate(read),
      kept: [rate(total(kept))[0], share(total(kept))],
      dropped: [rate(total(dropped))[0], share(total(dropped))],
      p50: milliseconds(stream.latency_ms?.p50),
      p95: milliseconds(stream.latency_ms?.p95),
      reconnects: [String(stream.reconnects), ""],
      tainted: [stream.taint_seconds.toFixed(1), "s"],
      waiting: [String(stream.waiting_frames), ""],
    };
    for (const [name, [value, unit]] of Object.entries(shown)) {
      const place = this.find(`[data-figure="${name}"]`);
      if (place.textContent !== value + " " + unit) place.replaceChildren(value + " ", element("small", unit));
    }
  }

  reasons(rates) {
    const rows = [
      ...Object.entries(rates.dropped).map(([reason, count]) => [reason, count, "dropped"]),
      ...Object.entries(rates.kept).map(([reason, count]) => [reason, count, "kept"]),
    ];
    const most = Math.max(1, ...rows.map(([, count]) => count));
    this.find(".reasons").replaceChildren(
      ...rows.map(([reason, count, fate]) => {
        const row = element("li", "", fate === "kept" ? "is-kept" : "");
        const bar = element("div", "", "bar");
        const fill = element("span");
        fill.style.width = `${(100 * count) / most}%`;
        bar.append(fill);
        row.append(element("span", `${fate}: ${words(reason)}`), element("span", String(count)), bar);
        return row;
      }),
    );
    const { frames_read: read, frames_kept: kept, last_frame_seconds: silent } = this.stream;
    const ago = silent !== null && silent > SILENT_SECONDS ? `; last frame ${silent.toFixed(0)} s ago` : "";
    const all = this.find(".total");
    setText(all, `since the start ${read.toLocaleString("en")} read, ${kept.toLocaleString("en")} kept${ago}`);
    all.dataset.read = read;
  }

  shots(stream) {
    const list = this.find(".shots");
    const there = new Map([...list.children].map((item) => [item.dataset.shot, item]));
    const wanted = stream.shots.map((shot) => there.get(shot.id) ?? this.shot(shot));
    // Kept items stay where they are, so that what has the focus keeps it.
    for (const [id, item] of there) if (!stream.shots.some((shot) => shot.id === id)) item.remove();
    wanted.forEach((item, place) => {
      if (list.children[place] !== item) list.insertBefore(item, list.children[place] ?? null);
    });
    this.find(".none").hidden = wanted.length > 0;
  }

  shot(shot) {
    const item = element("li");
    item.dataset.shot = shot.id;
    const button = element("button", "", "shot");
    button.type = "button";
    const picture = element("img");
    picture.src = `shots/${encodeURIComponent(shot.id)}.jpg`;
    picture.alt = `frame ${shot.index}`;
    const reason = shot.is_kept ? `would drop: ${words(shot.reason)}` : words(shot.reason);
    button.append(picture, element("span", shot.cause ? `${reason} (${words(shot.cause)})` : reason));
    button.append(element("span", nearest(shot.utility, this.stream.thresholds), "score"));
    button.append(element("span", clock(shot.time), "score"));
    button.addEventListener("click", () =>
      this.view(`${this.stream.name}, frame ${shot.index}`, picture.src, [
        ["Reason", reason],
        ...(shot.cause ? [["Cause", words(shot.cause)]] : []),
        ["Score", scores(shot.utility)],
        ["Threshold", scores(this.stream.thresholds)],
        ["Decided at", clock(shot.time)],
        ...(shot.pts_seconds === null ? [] : [["Stream time", `${shot.pts_seconds.toFixed(2)} s`]]),
      ]),
    );
    item.append(button);
    return item;
  }

  events(events) {
    const list = this.find(".events");
    const key = JSON.stringify(events);
    if (this.eventsKey === key) return;
    this.eventsKey = key;
    list.replaceChildren(
      ...events.map((event) => {
        const row = element("li");
        row.append(element("time", clock(event.time)), element("span", words(event.kind)), element("span", event.detail));
        return row;
      }),
    );
  }

  legend(stream) {
    const tasks = Object.keys(stream.thresholds);
    const latest = this.points.findLast(([, utility]) => Object.keys(utility).length)?.[1] ?? {};
    const now = tasks.map((task) => `${task} ${latest[task]?.toFixed(2) ?? "unknown"}, threshold ${stream.thresholds[task]}`);
    this.find("canvas").setAttribute("aria-label", `Score over the last ${this.span / 60} minutes; latest: ${now.join("; ") || "none"}`);
    if (this.tasks === tasks.join()) return;
    this.tasks = tasks.join();
    const keys = [...tasks.map((task, place) => [task, `task-${(place % 2) + 1}`]), ["thresholds", "threshold"]];
    keys.push(["kept", "kept"], ["dropped", "dropped"], ["tainted", "tainted"]);
    this.find(".legend").replaceChildren(...keys.map(([text, name]) => element("span", text, `key ${name}`)));
  }
}
