// A question before something happens to many, or for good.
import { h, set, setText } from '../dom.js';
import { t } from '../i18n.js';

/**
 * Asks in a dialog and, after a yes, runs: the dialog stays until that is done, and tells what went wrong. Escape and the
 * other button mean no. after is called where the focus has nowhere to go back to.
 */
export function ask({ title, text, yes, danger = false, run, after }) {
  const wrong = h('p', { class: 'wrong', role: 'alert' });
  const no = h('button', { class: 'button', type: 'button', autofocus: danger, onclick: () => dialog.close() }, t('ask.no'));
  const go = h('button', { class: `button ${danger ? 'danger' : 'primary'}`, autofocus: !danger }, yes);
  const form = h('form', { method: 'dialog', class: 'stack', onsubmit: async (event) => {
    event.preventDefault();
    set(go, 'disabled', true);
    set(dialog, 'aria-busy', 'true');
    setText(go, t('ask.busy'));
    setText(wrong, '');
    try {
      await run();
      dialog.close();
    } catch (error) {
      setText(wrong, [error.message, [error.code, error.requestId].filter(Boolean).join(' · ')].join(' '));
      setText(go, yes);
      set(go, 'disabled', false);
      set(dialog, 'aria-busy', null);
      go.focus();
    }
  } }, h('p', {}, text), wrong, h('div', { class: 'actions' }, no, go));
  const dialog = h('dialog', { 'aria-labelledby': 'ask-title', onclose: () => {
    dialog.remove();
    if (!document.activeElement || document.activeElement === document.body) after?.();
  } }, h('h2', { id: 'ask-title' }, title), form);
  document.body.append(dialog);
  dialog.showModal();
}
