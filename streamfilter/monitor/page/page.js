// Keeps the page up to date: one message a second from the server, tried again for ever when it is gone.

import { Card, words } from "./card.js";

const SPAN_SECONDS = 300;
const SILENCE_MS = 10000;
const RETRY_MS = 2000;
const ANNOUNCE_MS = 2000;

const by = (id) => document.getElementById(id);
const cards = new Map();
let source = null;
let boot = null;
let silence = 0;
let paused = false;
const said = new Map();
let toSay = new Set();

function connect() {
  source?.close();
  if (document.hidden) return;
  source = new EventSource("events");
  source.addEventListener("state", (event) => take(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    lose("The connection is lost; trying again. What is shown is the last that was heard.");
    if (source.readyState === EventSource.CLOSED) askWhy();
  });
  listen();
}

/** A line that went dead without a word is noticed by its silence. */
function listen() {
  clearTimeout(silence);
  silence = setTimeout(() => {
    lose("Nothing was heard for 10 s; trying again.");
    connect();
  }, SILENCE_MS);
}

/** The server refused: say why, and try again. */
async function askWhy() {
  clearTimeout(silence);
  const asking = new AbortController();
  try {
    const answer = await fetch("events", { signal: asking.signal });
    if (answer.status === 401) lose("The token is not valid any more: open the page with the one that was told at the start.");
    else if (!answer.ok) lose(`The server refuses: ${(await answer.text()).trim()}. Trying again.`);
  } catch {
    // It is away: the notice says so already.
  }
  asking.abort();
  setTimeout(connect, RETRY_MS);
}

function lose(notice) {
  const link = by("link");
  if (link.dataset.link !== "lost") say("Connection lost, trying again.");
  link.dataset.link = "lost";
  link.textContent = "connection lost";
  by("notice").textContent = notice;
  by("notice").hidden = false;
  by("streams").classList.add("old");
}

function take(message) {
  listen();
  if (by("link").dataset.link === "lost") say("Connected again.");
  by("link").dataset.link = "live";
  by("link").textContent = paused ? "paused" : "live";
  by("notice").hidden = true;
  by("streams").classList.remove("old");
  if (boot !== message.boot) {
    boot = message.boot;
    cards.forEach((card) => card.root.remove());
    cards.clear();
  }
  message.streams.forEach((stream) => {
    if (!cards.has(stream.name)) cards.set(stream.name, new Card(stream.name, SPAN_SECONDS, view));
    cards.get(stream.name).learn(stream, message.is_whole, message.second);
    notice(stream);
  });
  const names = new Set(message.streams.map((stream) => stream.name));
  for (const [name, card] of cards) {
    if (!names.has(name)) {
      card.root.remove();
      cards.delete(name);
    }
  }
  if (!paused) render(message);
}

function render(message) {
  message.streams.forEach((stream, place) => {
    const { root } = cards.get(stream.name);
    if (by("streams").children[place] !== root) by("streams").insertBefore(root, by("streams").children[place] ?? null);
    cards.get(stream.name).render();
  });
  // All of it is laid out once, not once a card.
  message.streams.forEach((stream) => cards.get(stream.name).draw());
  const counts = new Map();
  message.streams.forEach(({ state }) => counts.set(state, (counts.get(state) ?? 0) + 1));
  const number = message.streams.length;
  const states = [...counts].map(([state, count]) => `${count} ${words(state)}`).join(", ");
  by("summary").textContent = number ? `${number} stream${number > 1 ? "s" : ""}: ${states}` : "no streams yet";
  by("about").textContent = `${message.about.model}, version ${message.about.version}`;
  const isTroubled = message.streams.some(({ state }) => ["waiting", "unhealthy", "failed"].includes(state));
  document.title = `${isTroubled ? "(!) " : ""}streamfilter monitor`;
}

/** Tell screen readers that a stream's state is another one, but not of the steps on the way. */
function notice({ name, state, detail }) {
  if (["connecting", "connected", "starting", "added"].includes(state)) return;
  const last = said.get(name);
  said.set(name, state);
  if (last !== undefined && last !== state) say(`${name}: ${words(state)}${detail ? `, ${detail}` : ""}.`);
}

function say(line) {
  if (!toSay.size) {
    setTimeout(() => {
      by("announcement").textContent = [...toSay].join(" ");
      toSay = new Set();
    }, ANNOUNCE_MS);
  }
  toSay.add(line);
}

function view(title, picture, lines) {
  const viewer = by("viewer");
  by("viewer-title").textContent = title;
  viewer.querySelector("img").src = picture;
  viewer.querySelector("img").alt = title;
  viewer.querySelector("dl").replaceChildren(
    ...lines.flatMap(([name, value]) => {
      const term = document.createElement("dt");
      const told = document.createElement("dd");
      term.textContent = name;
      told.textContent = value;
      return [term, told];
    }),
  );
  viewer.showModal();
}

by("pause").addEventListener("click", () => {
  paused = !paused;
  by("pause").setAttribute("aria-pressed", String(paused));
  if (by("link").dataset.link === "live") by("link").textContent = paused ? "paused" : "live";
});
// A page nobody sees asks for nothing: the server makes fewer pictures, and the browser has a connection more.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    clearTimeout(silence);
    source?.close();
  } else connect();
});
connect();
