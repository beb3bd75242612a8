// Before and after: the two pictures lie on each other, and a range input says how much of the upper one is seen.
import { h, set } from '../dom.js';
import { icon } from '../icons.js';
import { percent, t } from '../i18n.js';
import { pictureURL } from '../status.js';

const WIDTH = 2048; // pixels of a picture, where its store can scale

/** compare() returns an element; element.show(asset) fills it. */
export function compare() {
  const after = picture('after');
  const before = picture('before');
  const range = h('input', { type: 'range', class: 'compare-range', min: 0, max: 100, value: 50, 'aria-label': t('asset.compare'), oninput: () => to(Number(range.value)) });
  const button = (value, text) => h('button', { class: 'button small', type: 'button', onclick: () => to(value) }, text);
  const stage = h('div', { class: 'compare-stage' }, after.element, before.element, h('span', { class: 'compare-line', 'aria-hidden': 'true' }), range);
  const buttons = h('div', { class: 'compare-buttons' }, button(100, t('asset.before')), button(0, t('asset.after')));
  const element = h('figure', { class: 'compare' }, stage, buttons);

  function to(value) {
    range.value = value;
    element.style.setProperty('--seen', `${value}%`);
    set(range, 'aria-valuetext', percent(value / 100));
  }

  to(50);
  element.show = (asset) => {
    const { original, processed } = asset.images;
    const both = Boolean(processed);
    element.dataset.both = both ? 'yes' : 'no';
    range.hidden = buttons.hidden = !both;
    before.show(original.url, t('asset.original'));
    if (both) after.show(processed.url, t('asset.processed'));
    if (original.width && original.height) element.style.setProperty('--ratio', `${original.width} / ${original.height}`);
  };
  return element;
}

function picture(name) {
  const missing = h('p', { class: 'compare-missing', hidden: true }, icon('photo'), t('asset.missing'));
  const image = h('img', { alt: '', decoding: 'async', draggable: 'false' });
  image.addEventListener('error', () => { missing.hidden = false; });
  image.addEventListener('load', () => { missing.hidden = true; });
  return {
    element: h('div', { class: `compare-picture ${name}` }, image, missing),
    show(address, text) {
      const source = pictureURL(address, WIDTH);
      if (image.getAttribute('src') !== source) set(image, 'src', source);
      set(image, 'alt', text);
    },
  };
}
