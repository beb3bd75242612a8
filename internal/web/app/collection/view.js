// The collection: filters, the grid, and the ways in for new photos.
import { arrange, h, set } from '../dom.js';
import { icon } from '../icons.js';
import { t } from '../i18n.js';
import { bind } from '../keys.js';
import { list as openList } from '../assets.js';
import { live } from '../live.js';
import { go, title } from '../router.js';
import { server } from '../settings.js';
import { categoryName, statusIcon } from '../status.js';
import { deleteLater } from '../delete.js';
import { grid } from './grid.js';
import { intake } from './intake.js';

const STATUSES = ['', 'processing', 'active', 'partial', 'failed', 'archived'];

let left = ''; // the photo that was opened last: who comes back finds it in focus

export function open(main, { query }) {
  const filter = {
    status: STATUSES.includes(query.get('status')) ? query.get('status') : '',
    category: server.categories.includes(query.get('category')) ? query.get('category') : '',
  };
  const list = openList(filter);
  const photos = grid(list);
  const ways = intake(filter.category);
  const heading = h('h1', { tabindex: -1 }, t('collection.title'));
  const below = h('div', {});

  title(t('collection.title'));
  set(main, 'class', 'collection');
  main.append(
    h('div', { class: 'collection-head' }, heading, ways.element),
    h('div', { class: 'collection-filters' },
      h('nav', { class: 'chips', 'aria-label': t('filter.status') }, STATUSES.map((status) => chip({ ...filter, status }, status === filter.status,
        status && statusIcon(status, { class: 'icon' }), t(status ? `filter.${status}` : 'filter.all')))),
      h('nav', { class: 'chips', 'aria-label': t('filter.category') }, server.categories.map((category) => chip(
        { ...filter, category: category === filter.category ? '' : category }, category === filter.category, categoryName(category))))),
    photos.element, below);

  function show() {
    const nothing = list.ids.length === 0;
    set(photos.element, 'hidden', nothing && (list.state === 'done' || list.state === 'failed'));
    if (list.state === 'failed') arrange(below, [broken()]);
    else if (nothing && list.state === 'done') arrange(below, [filter.status || filter.category ? nothingFound() : empty()]);
    else arrange(below, []);
  }

  const broken = () => h('div', { class: 'notice bad', role: 'alert' }, icon('failed'),
    h('div', { class: 'stack' },
      h('p', {}, t('collection.broken'), ' ', list.error.message),
      h('p', { class: 'small dim mono' }, [list.error.code, list.error.requestId].filter(Boolean).join(' · ')),
      h('div', {}, h('button', { class: 'button', type: 'button', onclick: () => list.more() }, icon('retry'), t('collection.again')))));

  const nothingFound = () => h('div', { class: 'empty' }, icon('search'), h('h2', {}, t('collection.none')),
    h('a', { class: 'button', href: '/' }, t('collection.all')));

  const empty = () => h('button', { class: 'empty invitation', type: 'button', onclick: ways.pick }, icon('photo'),
    h('strong', {}, t('collection.first')), h('span', { class: 'dim' }, t('collection.invite')),
    h('span', { class: 'button primary' }, icon('upload'), t('intake.pick')));

  function erase() {
    const id = photos.focused();
    if (!id) return false;
    const at = list.ids.indexOf(id);
    deleteLater(id);
    if (!photos.focus(list.ids[Math.min(at, list.ids.length - 1)])) heading.focus();
    return true;
  }

  // What failed for want of a connection is tried again when there is one.
  const retry = () => live.state === 'live' && list.state === 'failed' && list.more();
  live.addEventListener('change', retry);
  list.addEventListener('change', show);
  const unbind = bind([
    { key: 'u', label: 'key.upload', run: ways.pick },
    { key: 'Delete', label: 'key.delete', run: erase },
    { key: '1', label: 'key.filter', run: () => go(address({ ...filter, status: '' })) },
    ...STATUSES.slice(1).map((status, i) => ({ key: String(i + 2), run: () => go(address({ ...filter, status })) })),
  ]);
  const remember = (event) => { left = event.target.closest?.('li[data-id]')?.dataset.id ?? left; };
  photos.element.addEventListener('click', remember);

  main.querySelectorAll('.chip[aria-current]').forEach((chip) => chip.scrollIntoView({ block: 'nearest', inline: 'center' }));
  photos.settle();
  show();
  if (list.state === 'new') list.more();
  if (left) photos.focus(left);
  left = '';

  return () => {
    unbind();
    photos.close();
    live.removeEventListener('change', retry);
    list.removeEventListener('change', show);
  };
}

function address(filter) {
  const given = Object.entries(filter).filter(([, value]) => value);
  return given.length > 0 ? `/?${new URLSearchParams(given)}` : '/';
}

function chip(filter, present, ...content) {
  return h('a', { class: 'chip', href: address(filter), 'aria-current': present && 'true' }, content);
}
