// What happened to a photo, when, and how long each step took; the last line is what happens now.
import { arrange, h } from '../dom.js';
import { icon } from '../icons.js';
import { clock, duration, moment, sentence, t } from '../i18n.js';

const LOOKS = {
  received: ['upload', ''],
  stored: ['photo', ''],
  queued: ['waiting', ''],
  started: ['play', 'busy'],
  retrying: ['clock', 'warn'],
  finished: ['ready', 'good'],
  failed: ['failed', 'bad'],
};

/** timeline() returns an element; element.show(entries, asset, progress) fills it, again whenever one of them changes. */
export function timeline() {
  const list = h('ol', { class: 'timeline' });
  const element = h('section', { class: 'panel', 'aria-labelledby': 'timeline-title' }, h('h2', { id: 'timeline-title' }, t('timeline.title')), list);
  element.show = (entries, asset, progress, now = Date.now()) => {
    const lines = entries.map((entry, i) => line(entry, entries[i - 1]));
    const present = under(entries.at(-1), asset, progress, now);
    arrange(list, [...lines, present].filter(Boolean));
  };
  return element;
}

const kept = new WeakMap(); // the line of each entry

function line(entry, before) {
  if (kept.has(entry)) return kept.get(entry);
  const failed = entry.event === 'finished' && entry.error;
  const [name, tone] = LOOKS[failed ? 'failed' : entry.event] ?? LOOKS.queued;
  const gap = before ? Date.parse(entry.at) - Date.parse(before.at) : 0;
  const times = [
    entry.durationMs ? t('timeline.took', { time: duration(entry.durationMs) }) : null,
    gap >= 1000 && !entry.durationMs ? t('timeline.later', { time: duration(gap) }) : null,
  ].filter(Boolean).join(' · ');
  const made = h('li', { class: `timeline-line ${tone}` }, icon(name),
    h('div', {},
      h('p', { class: 'timeline-what' }, what(entry, failed), times && h('span', { class: 'small dim number' }, times)),
      entry.error && h('p', { class: 'small dim' }, why(entry))),
    h('time', { class: 'small dim number', datetime: entry.at, title: moment(entry.at, true) }, clock(entry.at, true)));
  kept.set(entry, made);
  return made;
}

function what({ event, attempt }, failed) {
  if (failed) return t('timeline.failed');
  if (event === 'started' && attempt > 1) return t('timeline.startedAgain', { attempt });
  return t(`timeline.${event}`, { attempt });
}

// That one can try again is not said while Loupe still does.
function why({ event, error }) {
  const text = sentence(error);
  return event === 'retrying' ? text.replace(/(?<=\.) .*$/, '') : text;
}

/** The line of what goes on now. */
function under(last, asset, progress, now) {
  if (!last || (asset.status !== 'processing' && asset.status !== 'draft')) return null;
  const since = t('timeline.since', { time: duration(Math.max(0, Math.floor((now - Date.parse(last.at)) / 1000) * 1000)) });
  let text = t(last.event === 'started' ? 'timeline.working' : 'timeline.waiting');
  let looks = ['working', 'busy'];
  if (last.event === 'retrying') {
    const left = progress?.status === 'retrying' ? Date.parse(progress.retryAt) - now : 0;
    looks = ['clock', 'warn'];
    text = t('timeline.follows');
    if (left > 0) text = t('timeline.next', { attempt: progress.attempt + 1, of: progress.maxAttempts, time: duration(Math.ceil(left / 1000) * 1000) });
  } else if (last.event !== 'started') {
    looks = ['waiting', 'busy'];
    if (progress?.position > 1) text = t('timeline.waitingFrom', { n: progress.position });
  }
  return h('li', { class: `timeline-line present ${looks[1]}`, 'aria-live': 'off' }, icon(looks[0]),
    h('div', {}, h('p', { class: 'timeline-what' }, text)), h('span', { class: 'small dim number' }, since));
}
