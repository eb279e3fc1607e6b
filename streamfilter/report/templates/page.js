/** Light, dark, or as the system has it. */
const startTheme = () => {
  const choose = (name) => {
    if (name === 'auto') delete root.dataset.theme;
    else root.dataset.theme = name;
    dispatchEvent(new Event('themechange'));
  };
  for (const radio of document.querySelectorAll('input[name="theme"]')) {
    radio.addEventListener('change', () => choose(radio.value));
  }
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => dispatchEvent(new Event('themechange')));
};

/** Sort a table by the column whose header button is pressed; once more turns it round. */
const startSorting = (table) => {
  const heads = [...table.tHead.rows[0].cells];
  const value = (row, column) => {
    const text = row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    return text !== '' && !Number.isNaN(Number(text)) ? Number(text) : text.toLowerCase();
  };
  const order = (a, b) => (typeof a === typeof b ? (a > b) - (a < b) : typeof a === 'number' ? -1 : 1);
  heads.forEach((head, column) => {
    head.querySelector('button')?.addEventListener('click', () => {
      const down = head.getAttribute('aria-sort') === 'ascending';
      for (const other of heads) other.removeAttribute('aria-sort');
      head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      const rows = [...table.tBodies[0].rows].sort((a, b) => order(value(a, column), value(b, column)) * (down ? -1 : 1));
      table.tBodies[0].append(...rows);
    });
  });
};

const json = (id) => JSON.parse(document.getElementById(id).textContent);

const startClip = (section, viewer) => {
  const number = section.dataset.clip;
  const clip = unpacked(json(`data-${number}`));
  const open = (place) => viewer.open(clip, number, place);
  const timeline = new Timeline(section.querySelector('.timeline'), clip, open);
  section.querySelectorAll('.thumb').forEach((button) => {
    button.addEventListener('click', () => open(Number(button.dataset.picture)));
  });
  section.querySelectorAll('[data-from]').forEach((button) => {
    button.addEventListener('click', () => {
      const [from, to] = [Number(button.dataset.from), Number(button.dataset.to)];
      const room = Math.max((to - from) * 0.25, timeline.usualStep() * 10);
      timeline.show(from - room, to + room);
      timeline.chart.scrollIntoView({ block: 'center' });
      timeline.chart.focus({ preventScroll: true });
    });
  });
  section.dataset.ready = '';
};

const start = () => {
  startTheme();
  document.querySelectorAll('table.sortable').forEach(startSorting);
  const viewer = new Viewer(document.getElementById('viewer'));
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        watcher.unobserve(target);
        startClip(target, viewer);
      }
    },
    { rootMargin: '800px' },
  );
  document.querySelectorAll('section[data-clip]').forEach((section) => watcher.observe(section));
  const curve = document.getElementById('curve');
  if (curve) drawCurve(curve, json('data-curve'));
};

start();
