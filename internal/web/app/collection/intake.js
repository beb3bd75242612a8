// The ways in for photos: picked, photographed, dropped anywhere, pasted.
import { h } from '../dom.js';
import { icon } from '../icons.js';
import { t } from '../i18n.js';
import { choice, choose, server } from '../settings.js';
import { session } from '../session.js';
import { categoryName } from '../status.js';
import { add } from './uploads.js';
import './tray.js';

const TYPES = 'image/jpeg,image/png,image/webp,image/gif';

let category = server.categories.includes(choice('category', '')) ? choice('category', '') : server.categories[0];

/** The controls by which photos come in; preset is the category that is looked at, or ''. */
export function intake(preset) {
  if (preset) category = preset;
  const input = (props) => h('input', { type: 'file', accept: TYPES, hidden: true, tabindex: -1, ...props, onchange: ({ target }) => {
    add(target.files, category);
    target.value = '';
  } });
  const files = input({ multiple: true, id: 'files' });
  const camera = input({ capture: 'environment', id: 'camera' });
  const select = h('select', { class: 'input', id: 'category', onchange: ({ target }) => {
    category = target.value;
    choose('category', category);
  } }, server.categories.map((name) => h('option', { value: name, selected: name === category }, categoryName(name))));
  const pick = () => { files.click(); };
  return {
    pick,
    element: h('div', { class: 'intake' },
      h('label', { class: 'label', for: 'category' }, t('intake.category')), select,
      h('button', { class: 'button square camera', type: 'button', 'aria-label': t('intake.camera'), title: t('intake.camera'), onclick: () => camera.click() }, icon('camera')),
      h('button', { class: 'button primary', type: 'button', onclick: pick }, icon('upload'), t('intake.pick')),
      files, camera),
  };
}

const veil = h('div', { class: 'veil', hidden: true, 'aria-hidden': 'true' }, h('div', {}, icon('upload'), h('strong', {}, t('intake.drop'))));
document.body.append(veil);

const hasFiles = (event) => [...event.dataTransfer?.types ?? []].includes('Files');
let depth = 0; // of elements that the pointer has entered

addEventListener('dragenter', (event) => {
  if (!hasFiles(event)) return;
  depth++;
  veil.hidden = !session.token;
});
addEventListener('dragleave', (event) => {
  if (hasFiles(event) && --depth <= 0) settle();
});
addEventListener('dragover', (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault(); // else the browser would open the file in place of the app
  event.dataTransfer.dropEffect = 'copy';
});
addEventListener('drop', (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  settle();
  if (session.token) add(event.dataTransfer.files, category);
});
addEventListener('paste', (event) => {
  const files = event.clipboardData?.files ?? [];
  if (files.length === 0 || !session.token) return;
  event.preventDefault();
  add(files, category);
});

function settle() {
  depth = 0;
  veil.hidden = true;
}
