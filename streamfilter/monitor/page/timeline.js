// The score of a stream over the last minutes, and under it what became of its frames.

const STRIP_SHARE = 0.2;
const GAP_SECONDS = 3;
const COLOURS = ["--tainted", "--line", "--faint", "--kept", "--dropped", "--task-1", "--task-2"];
const TASK_STYLES = [["--task-1", []], ["--task-2", [5, 3]]];

/**
 * @param canvas where to draw; its size on the page counts
 * @param stream as the server tells of it, with all its points: [second, {task: utility}, kept, dropped, tainted]
 * @param second the server's clock now
 * @param span how many seconds the canvas holds
 */
export function draw(canvas, stream, second, span) {
  const { width, height } = fit(canvas);
  const pen = canvas.getContext("2d");
  const style = getComputedStyle(canvas);
  const colours = new Map(COLOURS.map((name) => [name, style.getPropertyValue(name)]));
  const colour = (name) => colours.get(name);
  const x = (at) => width - ((second - at) / span) * width;
  const floor = Math.round(height * (1 - STRIP_SHARE));
  const y = (utility) => 4 + (1 - utility) * (floor - 8);
  pen.clearRect(0, 0, width, height);

  pen.fillStyle = colour("--tainted");
  for (const [at, , , , tainted] of stream.points) {
    if (tainted) pen.fillRect(x(at), 0, x(at + 1) - x(at) + 0.5, floor);
  }
  bars(pen, stream.points, x, floor + 3, height, colour);
  grid(pen, x, y, second, span, { width, floor }, colour);
  Object.entries(stream.thresholds).forEach(([task, threshold], place) => {
    const [name, dash] = TASK_STYLES[place % TASK_STYLES.length];
    line(pen, [0, y(threshold)], [width, y(threshold)], colour(name), [2, 4]);
    curve(pen, stream.points, task, (at) => x(at + 0.5), y, colour(name), dash);
  });
}

function fit(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const scale = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  canvas.getContext("2d").setTransform(scale, 0, 0, scale, 0, 0);
  return { width, height };
}

function bars(pen, points, x, top, bottom, colour) {
  const most = Math.max(1, ...points.map(([, , kept, dropped]) => kept + dropped));
  for (const [at, , kept, dropped] of points) {
    const left = x(at);
    const wide = Math.max(1, x(at + 1) - left - 0.4);
    const unit = (bottom - top) / most;
    pen.fillStyle = colour("--kept");
    pen.fillRect(left, bottom - kept * unit, wide, kept * unit);
    pen.fillStyle = colour("--dropped");
    pen.fillRect(left, bottom - (kept + dropped) * unit, wide, dropped * unit);
  }
}

function grid(pen, x, y, second, span, { width, floor }, colour) {
  pen.font = `10px ${getComputedStyle(document.body).fontFamily}`;
  for (let at = second - 60; at > second - span; at -= 60) line(pen, [x(at), 0], [x(at), floor], colour("--line"), []);
  for (const utility of [0, 0.5, 1]) {
    line(pen, [0, y(utility)], [width, y(utility)], colour("--line"), []);
    pen.fillStyle = colour("--faint");
    pen.fillText(String(utility), 4, y(utility) + (utility ? 11 : -3));
  }
}

function line(pen, from, to, colour, dash) {
  pen.strokeStyle = colour;
  pen.lineWidth = 1;
  pen.setLineDash(dash);
  pen.beginPath();
  pen.moveTo(...from);
  pen.lineTo(...to);
  pen.stroke();
}

function curve(pen, points, task, x, y, colour, dash) {
  pen.strokeStyle = colour;
  pen.lineWidth = 2;
  pen.lineJoin = "round";
  pen.setLineDash(dash);
  pen.beginPath();
  let last = -Infinity;
  for (const [at, utility] of points) {
    if (!(task in utility)) continue;
    if (at - last > GAP_SECONDS) pen.moveTo(x(at) - 1, y(utility[task]));
    pen.lineTo(x(at), y(utility[task]));
    last = at;
  }
  pen.stroke();
}
