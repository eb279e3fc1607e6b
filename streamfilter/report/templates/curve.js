/** Errors of the user's consumer among the frames that remain, against the share discarded. */
const drawCurve = (host, data) => {
  const tasks = Object.keys(data.curves);
  const percent = (_, splits) => splits.map((value) => `${Math.round(value * 1000) / 10} %`);
  const axis = {
    stroke: () => colour('--muted'),
    font: '12px system-ui, sans-serif',
    grid: { stroke: () => colour('--line'), width: 1 },
    ticks: { show: false },
    values: percent,
  };
  const styles = [
    ...tasks.map((task, number) => ({ label: task, stroke: () => colour(`--task-${number % 2}`), width: 2 })),
    { label: 'random', stroke: () => colour('--muted'), width: 1.5, dash: [2, 4] },
    { label: 'ideal', stroke: () => colour('--ink'), width: 1.5, dash: [8, 4] },
  ];
  const marks = (plot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = colour('--muted');
    ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
    for (const share of [0.05, 0.1, 0.2, 0.3]) {
      const x = plot.valToPos(share, 'x', true);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.setLineDash([]);
    if (data.filter.error !== null) {
      ctx.fillStyle = colour('--reason-low_utility');
      ctx.beginPath();
      ctx.arc(plot.valToPos(data.filter.discarded, 'x', true), plot.valToPos(data.filter.error, 'y', true), 5 * devicePixelRatio, 0, 7);
      ctx.fill();
    }
    ctx.restore();
  };
  const highest = Math.max(data.errors, data.filter.error ?? 0, ...tasks.flatMap((task) => data.curves[task])) * 1.08 || 1;
  const plot = new uPlot(
    {
      width: host.clientWidth,
      height: 280,
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: false, range: () => [0, 0.95] }, y: { range: () => [0, highest] } },
      series: [{}, ...styles],
      axes: [{ ...axis, size: 34 }, { ...axis, size: 54 }],
      hooks: { draw: [marks] },
    },
    [data.shares, ...tasks.map((task) => data.curves[task]), data.shares.map(() => data.errors), data.ideal],
    host,
  );
  addEventListener('themechange', () => plot.redraw(false));
  new ResizeObserver(() => host.clientWidth && plot.setSize({ width: host.clientWidth, height: 280 })).observe(host);
};
