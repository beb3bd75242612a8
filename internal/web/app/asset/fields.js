// What is known of the thing: the AI's values with their confidence, the owner's beside them, edited and accepted here.
import { arrange, h, set, setText } from '../dom.js';
import { icon } from '../icons.js';
import { percent, t } from '../i18n.js';
import { confidenceName } from '../status.js';

export const NAMES = ['brand', 'model', 'colorway'];

const TONES = { high: 'good', medium: 'warn', low: 'bad' };

/**
 * fields(save) returns {element, show(asset), edit(), accept()}; save(details) sends the owner's values and resolves to
 * whether they were taken.
 */
export function fields(save) {
  let asset;
  const rows = NAMES.map((name) => field(name, save));
  const acceptAll = h('button', { class: 'button small', type: 'button', onclick: () => accept() }, icon('accept'), t('field.acceptAll'), h('kbd', { 'aria-hidden': 'true' }, 'A'));
  const element = h('section', { class: 'panel', 'aria-labelledby': 'fields-title' },
    h('div', { class: 'panel-head' }, h('h2', { id: 'fields-title' }, t('field.title')), acceptAll),
    h('dl', { class: 'fields' }, rows.map((row) => row.element)));

  /** What was recognised and is not accepted yet. */
  function open() {
    const found = NAMES.filter((name) => asset?.aiMetadata?.[name]?.value && !asset.details?.[name]);
    return Object.fromEntries(found.map((name) => [name, asset.aiMetadata[name].value]));
  }

  function accept() {
    const details = open();
    if (Object.keys(details).length === 0) return false;
    save(details);
    return true;
  }

  return {
    element,
    accept,
    edit: () => rows.find((row) => !asset.details?.[row.name])?.edit() ?? rows[0].edit(),
    show(shown) {
      asset = shown;
      acceptAll.hidden = Object.keys(open()).length < 2; // one has its own button
      for (const row of rows) row.show(asset);
    },
  };
}

function field(name, save) {
  let asset;
  let editing = false;
  const label = t(`field.${name}`);
  const value = h('span', { class: 'field-value' });
  const yours = h('span', { class: 'status good small' }, icon('accept'), t('field.yours'));
  const suggestion = h('p', { class: 'small dim field-suggestion' });
  const word = h('span', { class: 'small' });
  const bar = h('div', { class: 'bar', 'aria-hidden': 'true' });
  const confidence = h('div', { class: 'confidence' }, bar, word);
  const acceptButton = h('button', { class: 'button small', type: 'button', onclick: () => save({ [name]: asset.aiMetadata[name].value }) }, icon('accept'), t('field.accept'));
  const editButton = h('button', { class: 'button quiet small square', type: 'button', 'aria-label': t('field.edit', { field: label }), onclick: () => edit() }, icon('edit'));
  const shown = h('div', { class: 'field-shown' }, h('div', { class: 'field-line' }, value, yours, h('span', { class: 'push' }), acceptButton, editButton), confidence, suggestion);
  const content = h('dd', {}, shown);

  function edit() {
    if (editing) return;
    editing = true;
    const input = h('input', { class: 'input', 'aria-label': label, maxlength: 200, value: asset.details?.[name] || asset.aiMetadata?.[name]?.value || '', placeholder: t('field.place'), autocomplete: 'off', onkeydown: (event) => {
      if (event.key !== 'Escape') return;
      event.preventDefault();
      end();
    } });
    const form = h('form', { class: 'field-form', onsubmit: async (event) => {
      event.preventDefault();
      set(input, 'readonly', true);
      const taken = await save({ [name]: input.value.trim() });
      set(input, 'readonly', false);
      if (taken) end();
      else input.focus();
    } }, input,
    h('button', { class: 'button primary' }, t('field.save')),
    h('button', { class: 'button quiet', type: 'button', onclick: end }, t('field.cancel')));
    arrange(content, [form]);
    input.focus();
    input.select();
    return true;
  }

  function end() {
    editing = false;
    arrange(content, [shown]);
    editButton.focus();
  }

  return {
    name,
    edit,
    element: h('div', { class: 'field-row' }, h('dt', { class: 'label' }, label), content),
    show(given) {
      asset = given;
      const own = asset.details?.[name] ?? '';
      const found = asset.aiMetadata?.[name];
      const known = own || found?.value;
      setText(value, known || t(asset.status === 'processing' || asset.status === 'draft' ? 'field.pending' : 'field.unknown'));
      value.classList.toggle('dim', !known);
      yours.hidden = !own;
      confidence.hidden = !found || Boolean(own);
      acceptButton.hidden = !found?.value || Boolean(own);
      suggestion.hidden = !own || !found?.value || own === found.value;
      if (found) {
        const name_ = confidenceName(found.confidence);
        bar.className = `bar ${TONES[name_]}`;
        bar.style.setProperty('--part', found.confidence);
        setText(word, t('field.confidence', { word: t(`confidence.${name_}`), percent: percent(found.confidence) }));
        setText(suggestion, t('field.suggested', { value: found.value }));
        set(acceptButton, 'aria-label', t('field.accepts', { field: label, value: found.value }));
      }
    },
  };
}
