// Keys. A view binds those that it wants for as long as it is open; the page of help, under ?, lists what is bound. Single
// letters can be switched off, for those whom they are in the way of.
import { choice, choose } from './settings.js';

const bound = []; // the later binding of a key goes first

/**
 * bind([{key: 'e', label: 'key.edit', run}, …]) returns what unbinds them. key is that of KeyboardEvent.key; label is of
 * texts, none keeps a key out of the help; run may return false, and the key goes on to others.
 */
export function bind(keys) {
  bound.unshift(keys);
  return () => bound.splice(bound.indexOf(keys), 1);
}

/** What is bound and has a label, once each. */
export function list() {
  const seen = new Map();
  for (const { key, label } of bound.flat()) {
    if (label && !seen.has(label)) seen.set(label, key);
  }
  return [...seen].map(([label, key]) => ({ label, key }));
}

/** Whether single letters count. */
export function lettersOn() {
  return choice('letters', 'on') === 'on';
}

/** Lets single letters count, or not. */
export function switchLetters(on) {
  choose('letters', on ? null : 'off');
}

document.addEventListener('keydown', (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (document.querySelector('dialog[open]')) return;
  const typing = event.target.closest?.('input:not([type=range], [type=checkbox]), textarea, select, [contenteditable]');
  if (typing && event.key !== 'Escape') return;
  if (event.key.length === 1 && !lettersOn()) return;
  for (const { key, run } of bound.flat()) {
    if (key !== event.key) continue;
    if (run(event) === false) continue;
    event.preventDefault();
    return;
  }
});
