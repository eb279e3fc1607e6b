const GUTTER = 34;
const TITLE = 20;
const PANEL = 84;
const LANE = 14;
const GAP = 8;
const AXIS = 30;
const TICKS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400, 604800];
const WHOLE_TICKS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 1e7, 1e8];

/** A clip's scores over its time, one panel a task, with strips of what became of the frames: what is drawn. */
class Chart {
  constructor(host, clip) {
    this.host = host;
    this.clip = clip;
    this.lanes = lanesOf(clip);
    this.chart = host.querySelector('.chart');
    const last = clip.seconds[clip.seconds.length - 1];
    this.whole = last > clip.seconds[0] ? [clip.seconds[0], last] : [clip.seconds[0] - 0.5, last + 0.5];
    this.range = this.whole;
    this.farthest = this.usualStep() * 5;
    this.place();
    this.build();
  }

  /** The middle of the steps between frames, to know a break from a step. */
  usualStep() {
    const { seconds } = this.clip;
    const steps = [];
    const every = Math.max(1, Math.floor(seconds.length / 2000));
    for (let row = 1; row < seconds.length; row += every) steps.push(seconds[row] - seconds[row - 1]);
    steps.sort((a, b) => a - b);
    return Math.max(0.02, steps[steps.length >> 1] || 1);
  }

  place() {
    let top = 0;
    this.panels = this.clip.tasks.map((task) => {
      const panel = { title: task, top: top + TITLE };
      top += TITLE + PANEL + GAP;
      return panel;
    });
    for (const lane of this.lanes) {
      lane.top = top + TITLE;
      top += TITLE + LANE;
    }
    this.height = top + GAP;
    if (this.clip.pictures.some((picture) => picture.full)) this.height += 12;
  }

  build() {
    const height = this.height;
    const scales = { x: { time: false, range: () => this.range } };
    const series = [{}];
    this.panels.forEach((panel, task) => {
      const below = (height - panel.top - PANEL) / PANEL;
      scales[`task${task}`] = { range: () => [-below, 1 + panel.top / PANEL] };
      series.push({
        scale: `task${task}`,
        stroke: () => colour(`--task-${task % 2}`),
        width: 1.25,
        points: { show: (plot) => this.drawn.length < plot.width / 10, size: 4 },
      });
    });
    const axis = {
      size: AXIS,
      space: 90,
      incrs: this.clip.clock === 'order' ? WHOLE_TICKS : TICKS,
      splits: (_, __, from, to, step) => this.ticks(from, to, step),
      stroke: () => colour('--muted'),
      font: '12px system-ui, sans-serif',
      grid: { stroke: () => colour('--line'), width: 1 },
      ticks: { stroke: () => colour('--line'), width: 1, size: 5 },
      values: (_, splits, __, ___, step) => splits.map((value) => momentOf(this.clip, value, step < 1 ? (step < 0.1 ? 2 : 1) : 0)),
    };
    this.drawn = this.select();
    this.plot = new uPlot(
      {
        width: this.chart.clientWidth,
        height: height + AXIS,
        padding: [0, 6, 0, GUTTER],
        legend: { show: false },
        cursor: { y: false, drag: { x: true, y: false, setScale: false } },
        scales,
        series,
        axes: [axis, ...this.panels.map((_, task) => ({ show: false, scale: `task${task}` }))],
        hooks: {
          drawClear: [(plot) => this.drawBehind(plot)],
          draw: [(plot) => this.drawAbove(plot)],
          setSelect: [(plot) => this.selected(plot)],
          setCursor: [(plot) => this.hovered(plot)],
        },
      },
      this.values(),
      this.chart,
    );
  }

  /** Where the axis has its ticks: at round times, of day for a live stream. */
  ticks(from, to, step) {
    const offset = this.clip.clock === 'wall' ? (this.clip.began + this.clip.utcOffset) % 86400 : 0;
    const found = [];
    for (let round = Math.ceil((from + offset) / step); round * step - offset <= to; round += 1) {
      found.push(round * step - offset);
    }
    return found;
  }

  /** First row to draw, the row after the last, with a neighbour outside on either side. */
  bounds() {
    const { seconds } = this.clip;
    const first = Math.max(0, lowerBound(seconds, this.range[0]) - 1);
    return [first, Math.min(seconds.length, lowerBound(seconds, this.range[1]) + 2)];
  }

  select() {
    const [first, end] = this.bounds();
    const width = Math.max(100, this.chart.clientWidth - GUTTER);
    return rowsToDraw(this.clip, first, end, this.range[0], this.range[1], width);
  }

  /** What uPlot draws: times, and the utility for each task, with a hole wherever time breaks off. */
  values() {
    const { clip } = this;
    const columns = [[], ...clip.tasks.map(() => [])];
    const farthest = Math.max(this.farthest, (4 * (this.range[1] - this.range[0])) / Math.max(100, this.chart.clientWidth));
    let before = null;
    for (const row of this.drawn) {
      const time = clip.seconds[row];
      if (before !== null && time - before > farthest) {
        columns[0].push((time + before) / 2);
        clip.tasks.forEach((_, task) => columns[task + 1].push(null));
      }
      columns[0].push(time);
      clip.tasks.forEach((_, task) => columns[task + 1].push(utilityAt(clip, task, row)));
      before = time;
    }
    return columns;
  }

  show(from, to) {
    const [low, high] = this.whole;
    const least = Math.min(high - low, Math.max((high - low) / 1e6, this.usualStep() * 4));
    const span = Math.min(high - low, Math.max(least, to - from));
    const start = Math.min(Math.max(low, (from + to - span) / 2), high - span);
    this.range = [start, start + span];
    this.drawn = this.select();
    this.plot.setData(this.values());
    const whole = span >= (high - low) * 0.999;
    this.host.querySelector('[data-do="whole"]').disabled = whole;
    this.host.querySelector('[data-do="out"]').disabled = whole;
  }

  zoom(factor, centre = (this.range[0] + this.range[1]) / 2) {
    const [from, to] = this.range;
    this.show(centre - (centre - from) * factor, centre + (to - centre) * factor);
  }

  pan(share) {
    const step = (this.range[1] - this.range[0]) * share;
    this.show(this.range[0] + step, this.range[1] + step);
  }

  drawBehind(plot) {
    const { ctx, bbox } = plot;
    const ratio = devicePixelRatio;
    const right = bbox.left + bbox.width;
    ctx.save();
    ctx.fillStyle = colour('--window');
    for (const [from, to] of this.clip.taint) {
      const start = Math.max(bbox.left, plot.valToPos(from, 'x', true));
      const end = Math.min(right, Math.max(start + ratio, plot.valToPos(to, 'x', true)));
      if (end > start) ctx.fillRect(start, bbox.top, end - start, bbox.height);
    }
    ctx.font = `${12 * ratio}px system-ui, sans-serif`;
    ctx.textBaseline = 'middle';
    this.panels.forEach((panel, task) => {
      for (const level of [0, 0.5, 1]) {
        const y = Math.round(plot.valToPos(level, `task${task}`, true)) + 0.5;
        ctx.strokeStyle = colour('--line');
        ctx.lineWidth = ratio;
        this.line(ctx, bbox.left, right, y, []);
        ctx.fillStyle = colour('--muted');
        ctx.textAlign = 'right';
        ctx.fillText(String(level), bbox.left - 7 * ratio, y);
      }
      this.title(ctx, panel.title, bbox, panel.top);
      const threshold = this.clip.thresholds[panel.title];
      if (threshold === undefined) return;
      const y = plot.valToPos(threshold, `task${task}`, true);
      ctx.strokeStyle = colour('--ink');
      ctx.lineWidth = 1.25 * ratio;
      this.line(ctx, bbox.left, right, y, [6 * ratio, 4 * ratio]);
      ctx.textAlign = 'right';
      ctx.fillStyle = colour('--muted');
      ctx.fillText(`threshold ${threshold.toFixed(2)}`, right - 2 * ratio, bbox.top + (panel.top - TITLE / 2) * ratio);
    });
    ctx.restore();
  }

  title(ctx, text, bbox, top) {
    ctx.textAlign = 'left';
    ctx.fillStyle = colour('--ink');
    ctx.fillText(text[0].toUpperCase() + text.slice(1), bbox.left, bbox.top + (top - TITLE / 2) * devicePixelRatio);
  }

  line(ctx, from, to, y, dashes) {
    ctx.beginPath();
    ctx.setLineDash(dashes);
    ctx.moveTo(from, y);
    ctx.lineTo(to, y);
    ctx.stroke();
    ctx.setLineDash([]);
  }

  drawAbove(plot) {
    const { ctx, bbox } = plot;
    const ratio = devicePixelRatio;
    const [first, end] = this.bounds();
    const origin = plot.valToPos(this.range[0], 'x', true);
    const perSecond = (plot.valToPos(this.range[1], 'x', true) - origin) / (this.range[1] - this.range[0]);
    const place = (time) => origin + (time - this.range[0]) * perSecond;
    ctx.save();
    ctx.font = `${12 * ratio}px system-ui, sans-serif`;
    ctx.textBaseline = 'middle';
    for (const lane of this.lanes) {
      const box = { left: bbox.left, top: bbox.top + lane.top * ratio, width: bbox.width, height: LANE * ratio };
      ctx.fillStyle = colour('--sunken');
      ctx.fillRect(box.left, box.top, box.width, box.height);
      drawLane(ctx, this.clip, lane, box, first, end, place, this.farthest);
      this.title(ctx, lane.title, bbox, lane.top);
    }
    ctx.fillStyle = colour('--ink');
    for (const picture of this.clip.pictures) {
      if (!picture.full || picture.seconds < this.range[0] || picture.seconds > this.range[1]) continue;
      const x = place(picture.seconds);
      const bottom = bbox.top + bbox.height;
      ctx.beginPath();
      ctx.moveTo(x, bottom - 9 * ratio);
      ctx.lineTo(x + 4 * ratio, bottom - 1 * ratio);
      ctx.lineTo(x - 4 * ratio, bottom - 1 * ratio);
      ctx.fill();
    }
    ctx.restore();
  }
}
