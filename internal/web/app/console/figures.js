// The figures that are no plot: the line of numbers at the top, stages, how attempts ended.
import { arrange, h, set, setText } from '../dom.js';
import { duration, has, number, percent, t } from '../i18n.js';

/** tiles() returns an element; element.show(overview) fills it. */
export function tiles() {
  const made = ['waiting', 'active', 'delayed', 'oldest', 'failed', 'sockets'].map((name) => {
    const value = h('dd', { class: 'tile-value number' });
    const more = h('dd', { class: 'small dim' });
    const shown = name === 'failed' ? h('a', { href: '#letters-title' }) : value;
    if (shown !== value) value.append(shown);
    return { name, value: shown, more, element: h('div', { class: 'tile' }, h('dt', { class: 'small dim' }, t(`tile.${name}`)), value, more) };
  });
  const element = h('dl', { class: 'tiles panel' }, made.map((tile) => tile.element));
  element.show = ({ queue, process }) => {
    const says = {
      waiting: [number(queue.waiting + queue.paused), queue.isPaused ? t('tile.held') : ''],
      active: [number(queue.active), ''],
      delayed: [number(queue.delayed), ''],
      oldest: [queue.oldestWaitingMs > 0 ? duration(queue.oldestWaitingMs) : '–', ''],
      failed: [number(queue.failed), ''],
      sockets: [number(process.sockets), process.alone ? '' : t('tile.here')],
    };
    for (const { name, value, more } of made) {
      setText(value, says[name][0]);
      setText(more, says[name][1]);
    }
    element.classList.remove('skeleton-tiles');
  };
  element.classList.add('skeleton-tiles');
  return element;
}

/** stages() returns an element; element.show(stages) fills it: half and nineteen of twenty took no longer. */
export function stages(title) {
  const body = h('tbody', {});
  const element = h('section', { class: 'panel', 'aria-labelledby': 'stages-title' },
    h('h2', { id: 'stages-title' }, title),
    h('div', { class: 'figures-box' }, h('table', { class: 'table figures' },
      h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, t('stages.stage')), h('th', { scope: 'col', class: 'number' }, h('abbr', { title: t('stages.p50why') }, t('stages.p50'))),
        h('th', { scope: 'col', class: 'number' }, h('abbr', { title: t('stages.p95why') }, t('stages.p95'))), h('th', { scope: 'col', class: 'number wide' }, t('stages.count')))),
      body)),
    h('p', { class: 'small dim' }, t('stages.note')));
  const rows = new Map();
  element.show = (list) => {
    const longest = Math.max(1, ...list.map(({ p95Ms }) => p95Ms));
    arrange(body, list.map(({ stage, count, p50Ms, p95Ms }) => {
      const row = kept(rows, stage, () => {
        const parts = { bar: h('span', { class: 'spread' }), p50: h('td', { class: 'number' }), p95: h('td', { class: 'number' }), count: h('td', { class: 'number dim wide' }) };
        return { ...parts, element: h('tr', {}, h('th', { scope: 'row' }, t(`stage.${stage}`), parts.bar), parts.p50, parts.p95, parts.count) };
      });
      set(row.bar, 'style', { '--p50': p50Ms / longest, '--p95': p95Ms / longest });
      setText(row.p50, count > 0 ? duration(p50Ms) : '–');
      setText(row.p95, count > 0 ? duration(p95Ms) : '–');
      setText(row.count, number(count));
      return row.element;
    }));
  };
  return element;
}

const GOOD = ['ok'];

/** attempts() returns an element; element.show(attempts) fills it. */
export function attempts() {
  const body = h('tbody', {});
  const none = h('p', { class: 'dim' }, t('attempts.none'));
  const table = h('div', { class: 'figures-box' }, h('table', { class: 'table figures' },
    h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, t('attempts.outcome')), h('th', { scope: 'col', class: 'number' }, t('attempts.share')), h('th', { scope: 'col', class: 'number' }, t('attempts.count')))),
    body));
  const element = h('section', { class: 'panel', 'aria-labelledby': 'attempts-title' }, h('h2', { id: 'attempts-title' }, t('attempts.title')), table, none);
  const rows = new Map();
  element.show = (list) => {
    const all = list.reduce((sum, { count }) => sum + count, 0);
    table.hidden = all === 0;
    none.hidden = all > 0;
    arrange(body, list.toSorted((a, b) => b.count - a.count).map(({ outcome, count }) => {
      const row = kept(rows, outcome, () => {
        const parts = { bar: h('div', { class: `bar ${GOOD.includes(outcome) ? 'good' : 'bad'}` }), share: h('td', { class: 'number' }), count: h('td', { class: 'number' }) };
        return { ...parts, element: h('tr', {}, h('th', { scope: 'row' }, outcomeName(outcome), parts.bar), parts.share, parts.count) };
      });
      set(row.bar, 'style', { '--part': count / all });
      setText(row.share, percent(count / all));
      setText(row.count, number(count));
      return row.element;
    }));
  };
  return element;
}

function outcomeName(outcome) {
  return has(`outcome.${outcome}`) ? t(`outcome.${outcome}`) : outcome;
}

/** What stands under a key, made the first time. */
export function kept(map, key, make) {
  if (!map.has(key)) map.set(key, make());
  return map.get(key);
}
