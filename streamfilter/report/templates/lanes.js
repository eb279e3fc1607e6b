/** The strips under the scores: what became of the frames. A column of pixels shows the share of its frames, and all of
    one kind where a strip `marks` rare ones. */
const lanesOf = (clip) => {
  const has = (values) => values.some((value) => value > 0);
  const lanes = [
    {
      title: 'Dropped',
      names: clip.reasons,
      prefix: '--reason-',
      category: (row) => (clip.keep[row] ? -1 : clip.reason[row]),
    },
  ];
  if (has(clip.spared)) {
    lanes.push({
      title: 'Passed as canary or in shadow mode',
      marks: true,
      names: clip.reasons,
      prefix: '--reason-',
      category: (row) => (clip.spared[row] ? clip.reason[row] : -1),
    });
  }
  if (has(clip.cause)) {
    lanes.push({
      title: 'Cause',
      names: clip.causes,
      prefix: '--cause-',
      category: (row) => clip.cause[row] || -1,
    });
  }
  return lanes;
};

/** Rows to draw in a stretch: all of them, or of every column of pixels those of lowest and highest utility. */
const rowsToDraw = (clip, first, end, from, to, width) => {
  const rows = [];
  if (end - first <= 2 * width) {
    for (let row = first; row < end; row += 1) rows.push(row);
    return rows;
  }
  const scale = width / (to - from || 1);
  let start = first;
  while (start < end) {
    const column = Math.floor((clip.seconds[start] - from) * scale);
    const chosen = new Set([start]);
    let stop = start;
    const lowest = clip.utility.map(() => -1);
    const highest = clip.utility.map(() => -1);
    while (stop < end && Math.floor((clip.seconds[stop] - from) * scale) === column) {
      clip.utility.forEach((values, task) => {
        if (values[stop] === UNSCORED) return;
        if (lowest[task] < 0 || values[stop] < values[lowest[task]]) lowest[task] = stop;
        if (highest[task] < 0 || values[stop] > values[highest[task]]) highest[task] = stop;
      });
      stop += 1;
    }
    for (const row of [...lowest, ...highest]) if (row >= 0) chosen.add(row);
    rows.push(...[...chosen].sort((a, b) => a - b));
    start = stop;
  }
  return rows;
};

/** Draws one strip into a canvas; `place` gives the x of a time, in canvas pixels. */
const drawLane = (context, clip, lane, box, first, end, place, farthest) => {
  const colours = lane.names.map((name) => colour(lane.prefix + name));
  const width = Math.max(1, Math.round(box.width));
  if (end - first < width / 2) {
    for (let row = first; row < end; row += 1) {
      const category = lane.category(row);
      if (category < 0) continue;
      const next = row + 1 < clip.seconds.length ? clip.seconds[row + 1] : Infinity;
      const stop = Math.min(next, clip.seconds[row] + farthest);
      const left = Math.max(box.left, place(clip.seconds[row]));
      const right = Math.min(box.left + box.width, Math.max(left + 1, place(stop)));
      context.fillStyle = colours[category];
      if (right > left) context.fillRect(left, box.top, right - left, box.height);
    }
    return;
  }
  const kinds = lane.names.length;
  const counts = new Float64Array(width * (kinds + 1));
  for (let row = first; row < end; row += 1) {
    const column = Math.round(place(clip.seconds[row]) - box.left);
    if (column < 0 || column >= width) continue;
    const weight = clip.weight === null ? 1 : clip.weight[row];
    const category = lane.category(row);
    counts[column * (kinds + 1) + (category < 0 ? kinds : category)] += weight;
  }
  for (let column = 0; column < width; column += 1) {
    const part = counts.subarray(column * (kinds + 1), (column + 1) * (kinds + 1));
    const total = part.subarray(0, lane.marks ? kinds : kinds + 1).reduce((sum, value) => sum + value, 0);
    let bottom = box.top + box.height;
    for (let kind = 0; kind < kinds; kind += 1) {
      if (!part[kind]) continue;
      const height = Math.max(3, (box.height * part[kind]) / total);
      context.fillStyle = colours[kind];
      context.fillRect(box.left + column, Math.max(box.top, bottom - height), 1, Math.min(height, bottom - box.top));
      bottom -= height;
    }
  }
};
