// Draws [data-chart] boxes with uPlot from the JSON element they name, again when it or the theme changes.
(() => {
  'use strict';
  const charts = new Map();
  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function read(box) {
    const source = document.getElementById(box.dataset.chart);
    return source ? JSON.parse(source.textContent) : null;
  }

  function draw(box) {
    const data = read(box);
    if (!data || typeof uPlot === 'undefined') return;
    charts.get(box)?.destroy();
    const axis = { stroke: token('--sw-muted'), grid: { stroke: token('--sw-line'), width: 1 }, ticks: { show: false }, font: '12px Inter, sans-serif' };
    const line = (label, color) => ({ label, value: (_plot, number) => number ?? '–', stroke: token(color), fill: `${token(color)}1f`, width: 1.75, points: { show: false } });
    const options = {
      width: box.clientWidth - 16,
      height: 160,
      tzDate: (stamp) => uPlot.tzDate(new Date(stamp * 1000), 'Etc/UTC'),
      cursor: { y: false, points: { size: 7 } },
      legend: { live: true },
      scales: { y: { range: (_plot, _low, high) => [0, Math.max(4, high * 1.15)] } },
      axes: [
        { ...axis, size: 30, values: (_plot, stamps) => stamps.map((stamp) => new Date(stamp * 1000).toISOString().slice(11, 16)) },
        { ...axis, size: 48, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000] },
      ],
      series: [
        { label: 'Minute', value: (_plot, stamp) => (stamp ? new Date(stamp * 1000).toISOString().slice(11, 16) : '–') },
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
