// What the app says by the way: one short message at a time at the foot of the page, and words for those who listen.
import { h, setText } from './dom.js';
import { icon } from './icons.js';
import { t } from './i18n.js';

const SHOWN = 6_000; // milliseconds
const QUIET = 1_500; // between two announcements

const shelf = h('div', { class: 'toasts', role: 'region', 'aria-label': t('toast.region') });
const polite = h('div', { class: 'unseen', role: 'status', 'aria-live': 'polite' });
document.body.append(shelf, polite);

let present = null;

/**
 * Shows a message in place of the one before. action is {label, run}; done is called when the message goes without it.
 * It stays while the pointer or the focus is on it.
 */
export function toast(text, { action, done, bad = false, shown = SHOWN } = {}) {
  present?.end();
  let timer;
  let over = false;
  const end = (by) => {
    if (over) return;
    over = true;
    clearTimeout(timer);
    if (element.contains(document.activeElement)) document.querySelector('#main h1')?.focus({ preventScroll: true });
    element.remove();
    if (present?.end === end) present = null;
    if (action && by === action) action.run();
    else done?.();
  };
  const start = () => {
    clearTimeout(timer);
    if (!element.matches(':hover, :focus-within')) timer = setTimeout(end, shown);
  };
  const element = h('div', { class: `toast${bad ? ' bad' : ''}`, onpointerenter: () => clearTimeout(timer), onpointerleave: start, onfocusin: () => clearTimeout(timer), onfocusout: () => setTimeout(start) },
    bad && icon('failed'),
    h('span', {}, text),
    action && h('button', { class: 'button quiet small', type: 'button', onclick: () => end(action) }, action.icon && icon(action.icon), action.label),
    h('button', { class: 'button quiet small square', type: 'button', 'aria-label': t('toast.close'), onclick: () => end() }, icon('close')));
  shelf.replaceChildren(element);
  present = { end, action };
  announce(text);
  start();
}

/** Takes the present message's action, by its key. */
export function act() {
  if (!present?.action) return false;
  present.end(present.action);
  return true;
}

/** Ends the present message as if its time were over. */
export function flush() {
  present?.end();
}

/** Tells an error: what happened, in plain words, with what the log knows it by. */
export function fault(what, error) {
  const reference = [error.code, error.requestId].filter(Boolean).join(' · ');
  toast(`${what} ${error.message}${reference ? ` (${reference})` : ''}`, { bad: true, shown: 2 * SHOWN });
}

let last = 0;
let waiting = [];

/** Says something to those who listen. Much at once is said in one breath. */
export function announce(text) {
  waiting.push(text);
  if (waiting.length > 1) return;
  setTimeout(() => {
    last = Date.now();
    setText(polite, waiting.slice(-3).join(' '));
    waiting = [];
  }, Math.max(100, last + QUIET - Date.now()));
}
