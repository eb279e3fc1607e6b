/** A chart that mouse and keys move, and that says what is under its cursor. */
class Timeline extends Chart {
  constructor(host, clip, openPicture) {
    super(host, clip);
    this.openPicture = openPicture;
    this.readout = host.querySelector('.readout');
    this.live = host.querySelector('.spoken');
    this.row = -1;
    this.listen();
  }

  selected(plot) {
    const { left, width } = plot.select;
    if (width > 4) this.show(plot.posToVal(left, 'x'), plot.posToVal(left + width, 'x'));
    if (width > 0) plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  }

  hovered(plot) {
    if (plot.cursor.left === undefined || plot.cursor.left < 0) return;
    this.at(this.nearest(plot.posToVal(plot.cursor.left, 'x')));
  }

  nearest(time) {
    const { seconds } = this.clip;
    const right = Math.min(lowerBound(seconds, time), seconds.length - 1);
    const left = Math.max(0, right - 1);
    return time - seconds[left] < seconds[right] - time ? left : right;
  }

  at(row) {
    this.row = row;
    this.readout.textContent = sentence(this.clip, row);
  }

  /** Put the cursor on a frame, as the keys do, and say what is there. */
  go(row) {
    const time = this.clip.seconds[row];
    if (time < this.range[0] || time > this.range[1]) {
      const half = (this.range[1] - this.range[0]) / 2;
      this.show(time - half, time + half);
    }
    this.plot.setCursor({ left: this.plot.valToPos(time, 'x'), top: 10 });
    this.at(row);
    this.live.textContent = this.readout.textContent;
  }

  step(direction) {
    if (this.row < 0) {
      this.go(this.nearest((this.range[0] + this.range[1]) / 2));
      return;
    }
    const place = lowerBound(this.drawn, this.row) + direction;
    const [first, end] = [0, this.clip.seconds.length - 1];
    const row = this.drawn[place] ?? this.row + direction;
    this.go(Math.min(end, Math.max(first, row)));
  }

  nearestPicture(time) {
    let best = -1;
    this.clip.pictures.forEach((picture, number) => {
      const nearest = best < 0 ? Infinity : Math.abs(this.clip.pictures[best].seconds - time);
      if (picture.full && Math.abs(picture.seconds - time) < nearest) best = number;
    });
    return best;
  }

  keys(event) {
    const actions = {
      ArrowLeft: () => (event.shiftKey ? this.pan(-0.25) : this.step(-1)),
      ArrowRight: () => (event.shiftKey ? this.pan(0.25) : this.step(1)),
      PageUp: () => this.pan(-0.9),
      PageDown: () => this.pan(0.9),
      Home: () => this.go(0),
      End: () => this.go(this.clip.seconds.length - 1),
      '+': () => this.zoom(0.5, this.centre()),
      '=': () => this.zoom(0.5, this.centre()),
      '-': () => this.zoom(2, this.centre()),
      0: () => this.show(...this.whole),
      Enter: () => {
        const best = this.nearestPicture(this.centre());
        if (best >= 0) this.openPicture(best);
      },
    };
    if (event.ctrlKey || event.altKey || event.metaKey || !actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  }

  centre() {
    const time = this.clip.seconds[this.row];
    return this.row >= 0 && time >= this.range[0] && time <= this.range[1] ? time : (this.range[0] + this.range[1]) / 2;
  }

  listen() {
    const over = this.plot.over;
    const buttons = {
      in: () => this.zoom(0.5, this.centre()),
      out: () => this.zoom(2, this.centre()),
      earlier: () => this.pan(-0.5),
      later: () => this.pan(0.5),
      whole: () => this.show(...this.whole),
    };
    for (const [name, action] of Object.entries(buttons)) {
      this.host.querySelector(`[data-do="${name}"]`).addEventListener('click', action);
    }
    this.chart.addEventListener('keydown', (event) => this.keys(event));
    over.addEventListener('dblclick', () => this.show(...this.whole));
    over.addEventListener('wheel', (event) => this.wheel(event), { passive: false });
    over.addEventListener('mousedown', (event) => this.drag(event), { capture: true });
    over.addEventListener('click', (event) => this.click(event));
    addEventListener('themechange', () => this.plot.redraw(false));
    new ResizeObserver(() => this.fit()).observe(this.chart);
    this.show(...this.whole);
  }

  fit() {
    const width = this.chart.clientWidth;
    if (!width || width === this.plot.width) return;
    this.plot.setSize({ width, height: this.height + AXIS });
    this.show(...this.range);
  }

  /** Ctrl and the wheel zoom; the wheel alone scrolls the page. */
  wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.plot.posToVal(event.offsetX, 'x'));
  }

  /** Shift and the mouse move the view. */
  drag(event) {
    if (!event.shiftKey || event.button !== 0) return;
    event.stopImmediatePropagation();
    event.preventDefault();
    const [from, to] = this.range;
    const scale = (to - from) / this.plot.over.clientWidth;
    const move = (now) => this.show(from - (now.clientX - event.clientX) * scale, to - (now.clientX - event.clientX) * scale);
    addEventListener('mousemove', move);
    addEventListener('mouseup', () => removeEventListener('mousemove', move), { once: true });
  }

  click(event) {
    if (event.offsetY < this.height - 14) return;
    const best = this.nearestPicture(this.plot.posToVal(event.offsetX, 'x'));
    if (best < 0) return;
    const distance = Math.abs(this.plot.valToPos(this.clip.pictures[best].seconds, 'x') - event.offsetX);
    if (distance < 8) this.openPicture(best);
  }
}
