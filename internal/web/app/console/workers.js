// Who works, and on what.
import { arrange, h, set, setText } from '../dom.js';
import { icon } from '../icons.js';
import { ago, duration, t } from '../i18n.js';
import { kept } from './figures.js';

const MOST = 8; // jobs of a worker that are shown

/** workers() returns an element; element.show(workers, now, own) fills it. */
export function workers() {
  const list = h('ul', { class: 'workers' });
  const none = h('p', { class: 'notice' }, icon('failed'), h('span', {}, t('workers.none')));
  const element = h('section', { class: 'panel', 'aria-labelledby': 'workers-title' }, h('h2', { id: 'workers-title' }, t('workers.title')), list, none);
  const rows = new Map();
  element.show = (all, now, own) => {
    none.hidden = all.length > 0;
    for (const name of rows.keys()) if (!all.some((worker) => worker.name === name)) rows.delete(name);
    arrange(list, all.map((worker) => {
      const row = kept(rows, worker.name, () => rowOf(worker, own));
      row.show(worker, now);
      return row.element;
    }));
  };
  return element;
}

function rowOf({ name }, own) {
  const state = h('span', { class: 'status' });
  const about = h('p', { class: 'small dim' });
  const more = h('li', { class: 'small dim' });
  const running = h('ul', { class: 'running' });
  const jobs = new Map();
  const element = h('li', { class: 'worker' },
    h('div', { class: 'worker-head' }, h('h3', { class: 'mono cut' }, name || t('workers.unnamed')), state),
    about, running);

  function show(worker, now) {
    const busy = worker.running.length;
    const gone = worker.connections === 0;
    const looks = gone ? ['offline', 'warn', t('workers.gone')] : busy ? ['play', 'busy', t('workers.busy', { n: busy })] : ['ready', '', t('workers.idle')];
    if (state.dataset.looks !== looks[0]) {
      state.dataset.looks = looks[0];
      set(state, 'class', `status ${looks[1]}`);
      state.replaceChildren(icon(looks[0]), h('span', {}));
    }
    setText(state.lastChild, looks[2]);
    setText(about, [
      name === own && t('workers.own'),
      worker.connections > 1 && t('workers.several', { n: worker.connections }),
      worker.since && t('workers.since', { time: ago(worker.since, now) }),
      gone && t('workers.goneWhy'),
    ].filter(Boolean).join(' · '));
    const shown = worker.running.slice(0, MOST);
    for (const id of jobs.keys()) if (!shown.some((job) => job.id === id)) jobs.delete(id);
    setText(more, t('workers.more', { n: busy - shown.length }));
    arrange(running, [...shown.map((job) => {
      const line = kept(jobs, job.id, () => lineOf(job));
      const seconds = Math.floor((now - Date.parse(job.startedAt)) / 1000);
      setText(line.took, seconds > 0 ? duration(seconds * 1000) : '');
      setText(line.attempt, job.attempt > 1 ? t('workers.attempt', { n: job.attempt }) : '');
      return line.element;
    }), ...(busy > shown.length ? [more] : [])]);
  }
  return { element, show };
}

function lineOf({ id }) {
  const took = h('span', { class: 'number dim' });
  const attempt = h('span', { class: 'dim' });
  return { took, attempt, element: h('li', { class: 'small' }, h('span', { class: 'mono cut' }, id), attempt, took) };
}
