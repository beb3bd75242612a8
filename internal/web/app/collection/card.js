// One photo in the grid: a link with its picture, name and state. It is shown anew in place when something changes.
import { h, set, setText } from '../dom.js';
import { ago, moment } from '../i18n.js';
import { progressOf } from '../assets.js';
import { nameOf, pictureURL, stateOf, statusElement } from '../status.js';

const WIDTH = 640; // pixels of a picture in the grid, where its store can scale

/** A card; card.show(asset, place, count) fills it. count is -1 while the end of the list is unknown. */
export function card() {
  const picture = h('img', { alt: '', loading: 'lazy', decoding: 'async', draggable: 'false' });
  const name = h('span', { class: 'card-name cut' });
  const status = statusElement();
  const time = h('time', { class: 'dim small number' });
  const link = h('a', { class: 'card' },
    h('span', { class: 'card-picture' }, picture),
    name, h('span', { class: 'card-foot' }, status, time));
  const item = h('li', {}, link);
  picture.addEventListener('load', () => { link.dataset.picture = 'shown'; });
  picture.addEventListener('error', () => { link.dataset.picture = 'missing'; });

  item.show = (asset, place, count) => {
    item.dataset.id = asset.id;
    set(item, 'aria-posinset', place + 1);
    set(item, 'aria-setsize', count);
    set(link, 'href', `/assets/${asset.id}`);
    link.dataset.status = asset.status;
    const source = pictureURL((asset.images.processed ?? asset.images.original).url, WIDTH);
    if (picture.getAttribute('src') !== source) {
      delete link.dataset.picture;
      set(picture, 'src', source);
    }
    setText(name, nameOf(asset));
    setText(time, ago(asset.createdAt));
    set(time, 'datetime', asset.createdAt);
    set(time, 'title', moment(asset.createdAt));
    status.show(stateOf(asset, progressOf(asset.id)));
  };
  item.tick = (asset) => status.show(stateOf(asset, progressOf(asset.id)));
  return item;
}

/** A card of something that is still to come. */
export function skeleton() {
  return h('li', { class: 'card-skeleton', 'aria-hidden': 'true' },
    h('span', { class: 'card-picture skeleton' }), h('span', { class: 'skeleton line' }), h('span', { class: 'skeleton line short' }));
}
