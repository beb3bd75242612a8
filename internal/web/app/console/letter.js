// One dead letter: a row, and beneath it, once it is opened, all that is known of it.
import { h, set, setText } from '../dom.js';
import { icon } from '../icons.js';
import { ago, moment, t } from '../i18n.js';
import { session } from '../session.js';
import { categoryName } from '../status.js';

/**
 * letterRow(letter, {onselect, onretry, ondiscard}) returns {id, rows, selected, opened, select(on), toggle(), fit(),
 * focus(), touch(now)}: rows are the elements for the table's body.
 */
export function letterRow(letter, { onselect, onretry, ondiscard }) {
  const { id } = letter;
  const box = h('input', { type: 'checkbox', 'aria-label': t('letters.select', { id }), onchange: () => select(box.checked) });
  const when = h('time', { datetime: letter.failedAt, title: moment(letter.failedAt, true) });
  const briefly = h('time', { datetime: letter.failedAt });
  const detail = h('tr', { class: 'letter-detail', id: `letter-${id}`, hidden: true }, h('td', {}));
  const reason = firstLine(letter.failureReason);
  const opener = h('button', { class: 'letter-open', type: 'button', 'aria-expanded': 'false', 'aria-controls': detail.id, onclick: () => toggle() },
    icon('forward'), h('span', { class: 'letter-reason' }, reason || t('letters.silent')));
  const tries = t('letters.attempts', { n: letter.attemptsMade, of: letter.maxAttempts });
  const row = h('tr', { class: 'letter', data: { id } },
    h('td', { class: 'letter-box' }, box),
    h('td', { class: 'letter-what' }, opener, h('p', { class: 'letter-meta small dim' }, letter.category && `${categoryName(letter.category)} · `, `${tries} · `, briefly)),
    h('td', { class: 'dim letter-category' }, letter.category ? categoryName(letter.category) : '–'),
    h('td', { class: 'dim mono small letter-user' }, h('span', { class: 'cut', title: letter.userId }, letter.userId || '–')),
    h('td', { class: 'number dim letter-tries' }, tries),
    h('td', { class: 'number dim letter-when' }, when));

  function select(on) {
    box.checked = on;
    row.classList.toggle('selected', on);
    onselect(id, on);
  }

  function toggle() {
    if (detail.firstChild.childElementCount === 0) detail.firstChild.append(contents());
    detail.hidden = !detail.hidden;
    fit();
    set(opener, 'aria-expanded', String(!detail.hidden));
    row.classList.toggle('opened', !detail.hidden);
  }

  /** The columns that are seen are fewer on a narrow screen: what spans them must not make more. */
  function fit() {
    set(detail.firstChild, 'colspan', [...row.children].filter((cell) => cell.checkVisibility()).length || null);
  }

  function contents() {
    const mine = letter.userId === session.user && /^[0-9a-f]{24}$/.test(letter.assetId);
    return h('div', { class: 'letter-body' },
      h('div', { class: 'letter-actions' },
        h('button', { class: 'button small', type: 'button', onclick: () => onretry(id) }, icon('retry'), t('letters.retry')),
        h('button', { class: 'button small danger', type: 'button', onclick: () => ondiscard(id) }, icon('trash'), t('letters.discard')),
        mine && h('a', { class: 'button small', href: `/assets/${letter.assetId}` }, icon('photo'), t('letters.photo'))),
      h('dl', { class: 'letter-facts small' },
        fact(t('letters.job'), h('span', { class: 'mono' }, id)),
        fact(t('letters.asset'), h('span', { class: 'mono' }, letter.assetId || '–')),
        fact(t('letters.user'), h('span', { class: 'mono' }, letter.userId || '–')),
        fact(t('letters.created'), moment(letter.createdAt, true)),
        letter.processedAt && fact(t('letters.started'), moment(letter.processedAt, true)),
        fact(t('letters.failed'), moment(letter.failedAt, true))),
      h('div', { class: 'letter-columns' },
        h('section', {}, h('h3', {}, t('letters.errors')), h('ol', { class: 'letter-errors' }, letter.errors.map(({ attempt, at, error }) => h('li', {},
          h('p', { class: 'small dim' }, t('letters.attempt', { n: attempt }), ' · ', h('time', { datetime: at }, moment(at, true))), trace(error, t('letters.attempt', { n: attempt })))))),
        h('section', {}, h('h3', {}, t('letters.payload')), trace(pretty(letter.payload), t('letters.payload')))));
  }

  const made = {
    id, rows: [row, detail], select, toggle, fit,
    get selected() { return box.checked; },
    get opened() { return !detail.hidden; },
    focus: () => opener.focus(),
    touch: (now) => {
      setText(when, ago(letter.failedAt, now));
      setText(briefly, ago(letter.failedAt, now));
    },
  };
  made.touch(Date.now());
  return made;
}

const fact = (name, value) => h('div', {}, h('dt', { class: 'dim' }, name), h('dd', {}, value));

/** Text of somebody's, as it is; it can be scrolled by the keyboard too. */
const trace = (text, label) => h('pre', { class: 'trace', tabindex: 0, role: 'group', 'aria-label': label }, text);

function firstLine(text) {
  return text.split('\n', 1)[0].trim();
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text; // a foreign job's need not be JSON
  }
}
