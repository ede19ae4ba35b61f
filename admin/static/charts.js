// Draws [data-chart] boxes with uPlot from the JSON element they name, again when it or the theme changes.
(() => {
  'use strict';
  const charts = new Map();
  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function read(box) {
    const source = document.getElementById(box.dataset.chart);
    return source ? JSON.parse(source.textContent) : null;
  }

  const TITLES = { minute: 'Minute', hour: 'Hour', day: 'Day' };
  const day = (moment) => `${moment.getUTCDate()} ${moment.toLocaleString('en', { month: 'short', timeZone: 'UTC' })}`;
  const clock = (moment) => moment.toISOString().slice(11, 16);

  // A moment as the legend says it, and shorter below the axis.
  function say(stamp, step, isShort) {
    const moment = new Date(stamp * 1000);
    if (step === 'minute') return clock(moment);
    if (step === 'day') return day(moment);
    if (isShort) return clock(moment) === '00:00' ? day(moment) : clock(moment);
    return `${day(moment)} ${clock(moment)}`;
  }

  function draw(box) {
    const data = read(box);
    if (!data || typeof uPlot === 'undefined') return;
    const step = box.dataset.step || 'minute';
    charts.get(box)?.destroy();
    const axis = { stroke: token('--sw-muted'), grid: { stroke: token('--sw-line'), width: 1 }, ticks: { show: false }, font: '12px Inter, sans-serif' };
    const line = (label, color) => ({ label, value: (_plot, number) => number ?? '–', stroke: token(color), fill: `${token(color)}1f`, width: 1.75, points: { show: data[0].length < 3 } });
    const options = {
      width: box.clientWidth - 16,
      height: 160,
      tzDate: (stamp) => uPlot.tzDate(new Date(stamp * 1000), 'Etc/UTC'),
      cursor: { y: false, points: { size: 7 } },
      legend: { live: true },
      scales: { y: { range: (_plot, _low, high) => [0, Math.max(4, high * 1.15)] } },
      axes: [
        { ...axis, size: 30, values: (_plot, stamps) => stamps.map((stamp) => say(stamp, step, true)) },
        { ...axis, size: 48, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000] },
      ],
      series: [
        { label: TITLES[step], value: (_plot, stamp) => (stamp ? say(stamp, step, false) : '–') },
        line('Answered', '--sw-chart-2'),
        line('Not answered', '--sw-chart-3'),
      ],
    };
    charts.set(box, new uPlot(options, data, box));
  }

  const all = () => document.querySelectorAll('[data-chart]');
  const drawAll = () => all().forEach(draw);
  let width = innerWidth;
  addEventListener('resize', () => {
    if (innerWidth === width) return;
    width = innerWidth;
    drawAll();
  });
  document.documentElement.addEventListener('theme', drawAll);
  document.addEventListener('htmx:sse:after:message', () => all().forEach((box) => charts.get(box)?.setData(read(box))));
  drawAll();
})();
