// Small plots: lines of SVG over time, each with its legend, which tells the values under the pointer, and a table of the
// same numbers. The drawing stretches with its box; what is text stays text, beside it.
import { arrange, h, s, set, setText } from '../dom.js';
import { clock, number, t } from '../i18n.js';

const WIDTH = 1000; // of the drawing, in its own units
const HEIGHT = 100;
const SPANS = [5, 15, 30, 60].map((minutes) => minutes * 60_000);

/**
 * A plot in a panel: {element, show(points, {now, every, span})}. Points are {at: milliseconds, …} with a number for each of
 * series, [{key, name, look}]; where two are further apart than a few times every, the line has a gap. With bars, each
 * point is a bar of its series, one upon the other, every wide. format writes a value; nice rounds the scale up.
 */
export function plot({ id, title, note, series, bars = false, format = number, nice = niceNumber }) {
  const marks = series.map(({ look }) => s('path', { class: `plot-mark ${look}`, 'vector-effect': 'non-scaling-stroke' }));
  const areas = bars ? [] : series.slice(0, 1).map(({ look }) => s('path', { class: `plot-area ${look}` }));
  const cursor = s('path', { class: 'plot-cursor', 'vector-effect': 'non-scaling-stroke', hidden: true });
  const drawing = s('svg', { class: 'plot-drawing', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img' },
    s('path', { class: 'plot-grid', 'vector-effect': 'non-scaling-stroke', d: `M0 .5H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT - 0.5}H${WIDTH}` }),
    areas, marks, cursor);
  const values = series.map(() => h('strong', { class: 'number' }));
  const when = h('span', { class: 'dim small number plot-when' });
  const highest = h('span', {});
  const half = h('span', {});
  const from = h('span', {});
  const table = h('div', { class: 'plot-table scroll-x', tabindex: 0, role: 'group', 'aria-label': title });
  const details = h('details', { class: 'plot-details', ontoggle: () => tabulate() }, h('summary', {}, t('plot.table')), table);
  const element = h('section', { class: 'panel plot', 'aria-labelledby': id },
    h('div', { class: 'plot-head' }, h('h2', { id }, title), when),
    h('ul', { class: 'plot-legend' }, series.map(({ name, look }, i) => h('li', {}, sample(look, bars), h('span', { class: 'dim' }, name), values[i]))),
    h('div', { class: 'plot-box' }, drawing, h('div', { class: 'plot-scale', 'aria-hidden': 'true' }, highest, half, h('span', {}, format(0)))),
    h('div', { class: 'plot-times small dim', 'aria-hidden': 'true' }, from, h('span', {}, t('plot.now'))),
    note && h('p', { class: 'small dim' }, note),
    details);

  let points = [];
  let range = { from: 0, to: 1, every: 1, top: 1 };
  let pointed = null;

  const x = (at) => (at - range.from) / (range.to - range.from) * WIDTH;
  const y = (value) => HEIGHT - value / range.top * (HEIGHT - 4);
  const sum = (point) => series.reduce((all, { key }) => all + point[key], 0);

  function show(given, { now, every, span }) {
    const oldest = given[0]?.at ?? now;
    const wide = span ?? SPANS.find((each) => now - oldest <= each) ?? SPANS.at(-1);
    points = given.filter(({ at }) => at >= now - wide);
    const most = Math.max(0, ...points.map((point) => (bars ? sum(point) : Math.max(...series.map(({ key }) => point[key])))));
    range = { from: now - wide, to: now, every, top: nice(most) };
    setText(highest, format(range.top));
    setText(half, format(range.top / 2));
    setText(from, t('plot.ago', { n: Math.round(wide / 60_000) }));
    if (bars) drawBars();
    else drawLines();
    set(drawing, 'aria-label', summary(most));
    tell();
    tabulate();
  }

  function drawLines() {
    series.forEach(({ key }, i) => {
      let line = '';
      let area = '';
      let begun = 0;
      points.forEach((point, at) => {
        const gap = at === 0 || point.at - points[at - 1].at > 3 * range.every;
        const place = `${x(point.at).toFixed(1)} ${y(point[key]).toFixed(1)}`;
        if (gap && at > 0) area += `V${HEIGHT}H${begun}Z`;
        if (gap) begun = x(point.at).toFixed(1);
        line += `${gap ? 'M' : 'L'}${place}`;
        area += `${gap ? 'M' : 'L'}${place}`;
      });
      set(marks[i], 'd', line || 'M0 0');
      if (areas[i]) set(areas[i], 'd', area ? `${area}V${HEIGHT}H${begun}Z` : 'M0 0');
    });
  }

  function drawBars() {
    const wide = range.every / (range.to - range.from) * WIDTH;
    const floors = points.map(() => 0);
    series.forEach(({ key }, i) => {
      let d = '';
      points.forEach((point, at) => {
        if (point[key] === 0) return;
        const left = Math.max(0, x(point.at) - wide + wide * 0.14);
        const bottom = y(floors[at]);
        floors[at] += point[key];
        d += `M${left.toFixed(1)} ${bottom.toFixed(1)}V${y(floors[at]).toFixed(1)}H${Math.max(left, x(point.at) - wide * 0.14).toFixed(1)}V${bottom.toFixed(1)}Z`;
      });
      set(marks[i], 'd', d || 'M0 0');
    });
  }

  const summary = (most) => t('plot.summary', {
    title, from: from.textContent, most: format(most),
    now: series.map(({ key, name }) => `${name} ${format(points.at(-1)?.[key] ?? 0)}`).join(', '),
  });

  /** The legend tells the latest values, or those under the pointer. */
  function tell() {
    const point = pointed === null ? points.at(-1) : nearest(pointed);
    series.forEach(({ key }, i) => setText(values[i], format(point?.[key] ?? 0)));
    setText(when, pointed === null || !point ? '' : clock(point.at, !bars));
    set(cursor, 'hidden', pointed === null || !point);
    if (pointed !== null && point) set(cursor, 'd', `M${(x(point.at) - (bars ? range.every / (range.to - range.from) * WIDTH / 2 : 0)).toFixed(1)} 0V${HEIGHT}`);
  }

  function nearest(part) {
    const at = range.from + part * (range.to - range.from) + (bars ? range.every / 2 : 0);
    return points.reduce((best, point) => (best && Math.abs(best.at - at) <= Math.abs(point.at - at) ? best : point), null);
  }

  drawing.addEventListener('pointermove', (event) => {
    const box = drawing.getBoundingClientRect();
    pointed = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    tell();
  });
  drawing.addEventListener('pointerleave', () => {
    pointed = null;
    tell();
  });

  /** One row for each minute, the latest first. */
  function tabulate() {
    if (!details.open) return;
    const rows = new Map();
    for (const point of points) rows.set(Math.floor((bars ? point.at - 1 : point.at) / 60_000), point);
    const body = [...rows].reverse().map(([minute, point]) => h('tr', {}, h('th', { scope: 'row' }, clock(minute * 60_000)),
      series.map(({ key }) => h('td', { class: 'number' }, format(point[key])))));
    const top = table.scrollTop;
    arrange(table, [h('table', { class: 'table small' },
      h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, t('plot.time')), series.map(({ name }) => h('th', { scope: 'col', class: 'number' }, name)))),
      h('tbody', {}, body))]);
    table.scrollTop = top;
  }

  return { element, show };
}

function sample(look, bar) {
  return s('svg', { class: 'plot-sample', viewBox: '0 0 20 10', 'aria-hidden': 'true' },
    s('path', { class: `plot-mark ${look}`, d: bar ? 'M4 0H16V10H4Z' : 'M0 5H20', 'vector-effect': 'non-scaling-stroke' }));
}

/** The next round number, and never so small that one job fills the plot. */
export function niceNumber(most) {
  return [4, 10, 20, 40, 60, 100, 200, 400, 600, 1000, 2000, 4000, 6000].find((top) => top >= most) ?? 10 ** Math.ceil(Math.log10(most));
}

/** The next round duration. */
export function niceDuration(most) {
  const minute = 60_000;
  const hour = 60 * minute;
  return [10_000, 30_000, minute, 2 * minute, 4 * minute, 10 * minute, 20 * minute, 40 * minute, hour, 2 * hour, 4 * hour, 12 * hour, 24 * hour]
    .find((top) => top >= most) ?? Math.ceil(most / (48 * hour)) * 48 * hour;
}
