// The console, for administrators: what is stuck, why, and the means to mend it. It asks every few seconds while it is seen.
import { h, set, setText } from '../dom.js';
import { icon } from '../icons.js';
import { ago, clock, duration, moment, t } from '../i18n.js';
import { call, get } from '../api.js';
import { bind } from '../keys.js';
import { title } from '../router.js';
import { session } from '../session.js';
import { announce, fault } from '../toast.js';
import { attempts, stages, tiles } from './figures.js';
import { letters } from './letters.js';
import { niceDuration, plot } from './plot.js';
import { workers } from './workers.js';

const EVERY = 2_000; // milliseconds between two questions
const HOUR = 3_600_000;

export function open(main, { query }) {
  const heading = h('h1', { tabindex: -1 }, t('console.title'));
  title(t('console.title'));
  set(main, 'class', 'console');
  if (!session.admin) {
    main.append(h('div', { class: 'empty' }, icon('user'), heading, h('p', {}, t('console.forbidden'))));
    heading.focus({ preventScroll: true });
    return undefined;
  }

  const ended = new AbortController();
  const { signal } = ended;
  const state = h('span', { class: 'status pill' });
  const about = h('p', { class: 'small dim console-about' });
  const pause = h('button', { class: 'button', type: 'button', onclick: switchPause, disabled: true }, icon('pause'), h('span', {}, t('console.pause')));
  const wrong = h('div', { class: 'notice bad', role: 'status', hidden: true }, icon('failed'), h('span', {}));
  const service = h('div', { class: 'notice warn', hidden: true }, icon('offline'), h('div', {}, h('p', { role: 'status' }), h('p', { class: 'small dim number' })));
  const numbers = tiles();
  const depth = plot({ id: 'depth-title', title: t('depth.title'), series: [
    { key: 'waiting', name: t('tile.waiting'), look: 'one' }, { key: 'active', name: t('tile.active'), look: 'two' }, { key: 'delayed', name: t('tile.delayed'), look: 'three' },
  ] });
  const oldest = plot({ id: 'oldest-title', title: t('oldest.title'), format: (ms) => (ms > 0 ? duration(ms) : '0'), nice: niceDuration, series: [{ key: 'oldest', name: t('tile.oldest'), look: 'one' }] });
  const finished = plot({ id: 'finished-title', title: t('finished.title'), bars: true, series: [
    { key: 'active', name: t('status.active'), look: 'good' }, { key: 'partial', name: t('status.partial'), look: 'warn' }, { key: 'failed', name: t('status.failed'), look: 'bad' },
  ] });
  const ways = stages(t('stages.title'));
  const outcomes = attempts();
  const hands = workers();
  const dead = letters({ query, signal, changed: () => poll() });

  main.append(
    h('div', { class: 'console-head' }, h('div', {}, h('div', { class: 'row' }, heading, state), about), pause),
    wrong, service, numbers,
    h('div', { class: 'console-plots' }, depth.element, finished.element, oldest.element, ways, hands, outcomes),
    dead);

  let samples = []; // of the last hour, {at, waiting, active, delayed, oldest}
  let last = null; // the latest overview
  let spoken = null; // what was last said of the queue and the service
  let timer;
  let asking = null;

  const sampleOf = ({ at, waiting, paused, active, delayed, oldestWaitingMs }) => ({
    iso: at, at: Date.parse(at), waiting: waiting + paused, active, delayed, oldest: oldestWaitingMs,
  });

  async function poll() {
    clearTimeout(timer);
    asking?.abort();
    const mine = asking = new AbortController();
    if (document.visibilityState === 'hidden') return;
    try {
      const overview = await get('/api/admin/overview', { since: samples.at(-1)?.iso }, { signal: AbortSignal.any([signal, mine.signal]) });
      samples = [...samples, ...overview.depth.map(sampleOf)];
      last = overview;
      show();
    } catch (error) {
      if (signal.aborted || mine.signal.aborted) return;
      tellFault(error);
    }
    timer = setTimeout(poll, EVERY);
  }

  function show() {
    const { queue, process } = last;
    const now = Date.parse(queue.at);
    samples = samples.filter(({ at }) => at > now - HOUR);
    wrong.hidden = true;
    showState(queue);
    showService(last.aiService, now);
    setText(about, [process.name, t('console.version', { version: process.version }), t('console.up', { time: ago(process.startedAt, now) }), !process.alone && t('console.share')].filter(Boolean).join(' · '));
    set(about, 'title', moment(process.startedAt, true));
    numbers.show(last);
    const points = [...samples, sampleOf(queue)];
    depth.show(points, { now, every: last.spans.sampleEveryMs });
    oldest.show(points, { now, every: last.spans.sampleEveryMs });
    const minute = 60_000;
    const minutes = last.throughput.map((each) => ({ ...each, at: Date.parse(each.at) + minute }));
    finished.show(minutes, { now: Math.ceil((now + 1) / minute) * minute, every: minute });
    ways.show(last.stages);
    outcomes.show(last.attempts);
    hands.show(last.workers, now, process.name);
    dead.note(queue.failed, now);
  }

  function showState({ isPaused }) {
    const name = isPaused ? 'paused' : 'running';
    if (state.dataset.state !== name) {
      state.dataset.state = name;
      set(state, 'class', `status pill ${isPaused ? 'warn' : 'good'}`);
      state.replaceChildren(icon(isPaused ? 'pause' : 'play'), h('span', {}, t(`console.${name}`)));
      pause.replaceChildren(icon(isPaused ? 'play' : 'pause'), h('span', {}, t(isPaused ? 'console.resume' : 'console.pause')));
      if (spoken !== null && spoken !== name) announce(t(`console.is.${name}`));
      spoken = name;
    }
    if (!switching) set(pause, 'disabled', false);
  }

  function showService(known, now) {
    const status = known?.status ?? 'up'; // a server that does not know says nothing
    service.hidden = status === 'up';
    if (service.hidden) return;
    const [what, more] = service.lastChild.children;
    setText(what, `${t(status === 'rate_limited' ? 'service.limited' : 'service.away', { time: clock(known.since) })} ${t('service.waits')}`);
    const left = Math.ceil((Date.parse(known.nextLook) - now) / 1000) * 1000;
    setText(more, left > 0 ? t('service.next', { time: duration(left) }) : t('service.soon'));
  }

  function tellFault(error) {
    wrong.hidden = false;
    const reference = [error.code, error.requestId].filter(Boolean).join(' · ');
    setText(wrong.lastChild, [t('console.broken'), error.message, last && t('console.asOf', { time: clock(last.queue.at, true) }), error.code === 'OFFLINE' ? '' : `(${reference})`].filter(Boolean).join(' '));
    setText(wrong.lastChild, wrong.lastChild.textContent.trim());
  }

  let switching = false;
  async function switchPause() {
    if (!last || switching) return false;
    switching = true;
    set(pause, 'aria-busy', 'true');
    const resume = last.queue.isPaused;
    try {
      await call('POST', `/api/admin/queue/${resume ? 'resume' : 'pause'}`);
    } catch (error) {
      fault(t(resume ? 'console.notResumed' : 'console.notPaused'), error);
    }
    await poll();
    switching = false;
    set(pause, 'aria-busy', null);
    return true;
  }

  const seen = () => document.visibilityState === 'visible' && poll();
  document.addEventListener('visibilitychange', seen, { signal });
  const unbind = bind([{ key: 'p', label: 'key.pause', run: switchPause }]);
  poll();
  heading.focus({ preventScroll: true });
  return () => {
    ended.abort();
    clearTimeout(timer);
    unbind();
    dead.close();
  };
}
