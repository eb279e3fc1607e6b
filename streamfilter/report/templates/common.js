const root = document.documentElement;

const colours = new Map();
addEventListener('themechange', () => colours.clear());

/** A colour of the style sheet as canvases take it; the muted one for a name it does not know. */
const colour = (name) => {
  if (!colours.has(name)) {
    const probe = document.createElement('span');
    probe.style.color = /^--[\w-]+$/.test(name) ? `var(${name}, var(--muted))` : 'var(--muted)';
    root.append(probe);
    colours.set(name, getComputedStyle(probe).color);
    probe.remove();
  }
  return colours.get(name);
};

const words = (name) => name.replaceAll('_', ' ');

const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;

/** An element with attributes and children; text is never read as HTML. */
const element = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
};

/** First place in an ascending array whose value is not under `value`. */
const lowerBound = (values, value) => {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
};

const UNSCORED = 65535;

/** A clip's arrays, unpacked from its JSON. */
const unpacked = (data) => ({
  ...data,
  seconds: new Float64Array(bytesOf(data.seconds)),
  index: new Float64Array(bytesOf(data.index)),
  utility: data.utility.map((text) => new Uint16Array(bytesOf(text))),
  keep: new Uint8Array(bytesOf(data.keep)),
  reason: new Uint8Array(bytesOf(data.reason)),
  spared: new Uint8Array(bytesOf(data.spared)),
  cause: new Uint8Array(bytesOf(data.cause)),
  weight: data.weight === null ? null : new Uint32Array(bytesOf(data.weight)),
});

/** A clip's utility of one frame, null when it was not scored. */
const utilityAt = (clip, task, row) => {
  const value = clip.utility[task][row];
  return value === UNSCORED ? null : value / (UNSCORED - 1);
};

const two = (number) => String(Math.floor(number)).padStart(2, '0');

/** A time on a clip's timeline for people, with as many decimals as asked. */
const momentOf = (clip, seconds, decimals = 2) => {
  if (clip.clock === 'order') return `#${Math.round(seconds).toLocaleString('en')}`;
  if (clip.clock === 'wall') {
    const day = new Date((clip.began + seconds + clip.utcOffset) * 1000);
    const fraction = decimals ? (day.getUTCMilliseconds() / 1000).toFixed(decimals).slice(1) : '';
    return `${two(day.getUTCHours())}:${two(day.getUTCMinutes())}:${two(day.getUTCSeconds())}${fraction}`;
  }
  const size = Number(Math.abs(seconds).toFixed(decimals));
  const rest = (size % 60).toFixed(decimals).padStart(decimals ? 3 + decimals : 2, '0');
  const hours = Math.floor(size / 3600);
  const minutes = Math.floor(size / 60) % 60;
  return `${seconds < 0 ? '-' : ''}${hours ? `${hours}:${two(minutes)}` : minutes}:${rest}`;
};

/** One frame in a sentence, for the line under the chart and for screen readers. */
const sentence = (clip, row) => {
  const scores = clip.tasks.map((task, number) => {
    const value = utilityAt(clip, number, row);
    return `${task} ${value === null ? 'not scored' : value.toFixed(2)}`;
  });
  const fate = `${clip.keep[row] ? 'kept' : 'dropped'}: ${words(clip.reasons[clip.reason[row]])}`;
  const spared = clip.spared[row] ? `, would be dropped: ${words(clip.reasons[clip.spared[row] - 1])}` : '';
  const cause = clip.cause[row] ? `, cause: ${words(clip.causes[clip.cause[row]])}` : '';
  const parts = [momentOf(clip, clip.seconds[row]), `frame ${clip.index[row]}`, scores.join(', '), `${fate}${spared}${cause}`];
  return parts.filter(Boolean).join(' · ');
};
