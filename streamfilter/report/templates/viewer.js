const SVG = 'http://www.w3.org/2000/svg';

/** The full-size view: one picture, what was decided about it, and the consumer's boxes. */
class Viewer {
  constructor(dialog) {
    this.dialog = dialog;
    this.part = (name) => dialog.querySelector(`[data-part="${name}"]`);
    this.part('previous').addEventListener('click', () => this.move(-1));
    this.part('next').addEventListener('click', () => this.move(1));
    this.part('close').addEventListener('click', () => dialog.close());
    this.part('boxes').addEventListener('change', () => this.showBoxes());
    dialog.addEventListener('keydown', (event) => this.keys(event));
    dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
    dialog.addEventListener('close', () => this.thumb()?.focus());
  }

  open(clip, clipNumber, number) {
    this.clip = clip;
    this.clipNumber = clipNumber;
    this.numbers = clip.pictures.map((_, place) => place).filter((place) => clip.pictures[place].full);
    this.place = this.numbers.indexOf(number);
    if (this.place < 0) return;
    this.fill();
    if (!this.dialog.open) this.dialog.showModal();
    this.part('next').focus();
  }

  get picture() {
    return this.clip.pictures[this.numbers[this.place]];
  }

  thumb() {
    return document.getElementById(`picture-${this.clipNumber}-${this.numbers[this.place]}`);
  }

  move(step) {
    const place = this.place + step;
    if (place < 0 || place >= this.numbers.length) return;
    this.place = place;
    this.fill();
  }

  keys(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -this.place, End: this.numbers.length - 1 - this.place };
    if (steps[event.key] === undefined) return;
    event.preventDefault();
    this.move(steps[event.key]);
  }

  fill() {
    const { picture } = this;
    const image = this.part('image');
    image.src = picture.full;
    image.width = picture.width;
    image.height = picture.height;
    image.alt = `Frame ${picture.index} at ${picture.moment}, ${picture.keep ? 'kept' : 'dropped'}: ${words(picture.reason)}`;
    this.part('count').textContent = `${this.place + 1} of ${this.numbers.length}`;
    this.part('title').textContent = `${this.clip.name}, ${picture.moment}`;
    this.part('previous').disabled = this.place === 0;
    this.part('next').disabled = this.place === this.numbers.length - 1;
    if (document.activeElement?.disabled) this.part('close').focus();
    this.part('facts').replaceChildren(...this.facts().flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, value)]));
    this.showBoxes();
  }

  facts() {
    const { picture } = this;
    const facts = [
      [picture.keep ? 'Kept' : 'Dropped', words(picture.reason)],
      ...(picture.spared ? [['Would be dropped', words(picture.spared)]] : []),
      ...(picture.cause ? [['Cause', words(picture.cause)]] : []),
      ...Object.entries(picture.utility).map(([task, value]) => {
        const threshold = this.clip.thresholds[task];
        return [`Utility, ${task}`, threshold === undefined ? value : `${value} (threshold ${threshold.toFixed(2)})`];
      }),
      ['Time', picture.moment],
      ['Frame', String(picture.index)],
      ['Shown as', words(picture.why)],
    ];
    if (picture.wrong >= 0) facts.push(['Your consumer', picture.wrong ? 'wrong' : 'right']);
    return facts;
  }

  showBoxes() {
    const { picture } = this;
    const overlay = this.part('overlay');
    const kinds = Object.entries(picture.boxes ?? {});
    this.part('boxbar').hidden = kinds.length === 0;
    overlay.setAttribute('viewBox', `0 0 ${picture.width} ${picture.height}`);
    const shown = this.part('boxes').checked ? kinds : [];
    overlay.replaceChildren(...shown.flatMap(([kind, boxes]) => boxes.flatMap((box) => this.drawn(kind, box))));
    this.part('legend').replaceChildren(
      ...kinds.map(([kind, boxes]) => element('span', { class: `key ${kind}` }, `${this.kindWords(kind)}: ${boxes.length}`)),
    );
  }

  kindWords(kind) {
    return kind === 'reference' ? 'reference (before)' : 'detected on this frame (after)';
  }

  drawn(kind, { box: [left, top, right, bottom], label, score }) {
    const make = (tag, attributes) => {
      const made = document.createElementNS(SVG, tag);
      for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
      return made;
    };
    const size = Math.max(10, this.picture.width / 50);
    const rectangle = make('rect', { x: left, y: top, width: Math.max(0, right - left), height: Math.max(0, bottom - top), class: kind });
    const y = kind === 'reference' ? Math.max(size, top - size / 3) : Math.min(this.picture.height - size / 3, bottom + size);
    const text = make('text', { x: left, y, class: kind, 'font-size': size });
    text.textContent = `${label} ${score.toFixed(2)}`;
    return [rectangle, text];
  }
}
