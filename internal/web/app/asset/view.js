// One photo: what it looks like before and after, what is known of it, what happened to it.
import { h, set, setText } from '../dom.js';
import { icon } from '../icons.js';
import { ago, bytes, moment, sentence, t } from '../i18n.js';
import { get } from '../api.js';
import { changes, fetchAsset, list, patch, peek, progressOf, retry } from '../assets.js';
import { deleteLater } from '../delete.js';
import { bind } from '../keys.js';
import { events, live } from '../live.js';
import { go, title } from '../router.js';
import { server } from '../settings.js';
import { categoryName, nameOf, pictureURL, stateOf, statusElement } from '../status.js';
import { announce, fault, toast } from '../toast.js';
import { compare } from './compare.js';
import { fields } from './fields.js';
import { timeline } from './timeline.js';

export function open(main, { params: { id } }) {
  const ended = new AbortController();
  const { signal } = ended;
  const heading = h('h1', { tabindex: -1 });
  const status = statusElement({ pill: true });
  const pictures = compare();
  const known = fields(save);
  const history = timeline();
  const wrong = h('div', { class: 'notice bad', role: 'alert', hidden: true });
  const about = h('dl', { class: 'about' });
  let asset = peek(id);
  let entries = [];
  let spoken = '';

  const button = (name, text, run, props) => h('button', { class: 'button quiet', type: 'button', hidden: true, onclick: run, ...props }, icon(name), h('span', {}, text));
  const again = button('retry', t('asset.retry'), onRetry, { class: 'button' });
  const archive = button('archive', t('asset.archive'), onArchive);
  const erase = button('trash', t('asset.delete'), onDelete, { class: 'button quiet danger' });
  const step = (by, name, text) => h('a', { class: 'button quiet square', href: neighbour(by), hidden: !neighbour(by), 'aria-label': text, onclick: (event) => plain(event) && goTo(by) && event.preventDefault() }, icon(name));
  const category = h('select', { class: 'input', id: 'asset-category', onchange: () => change({ category: category.value }) },
    server.categories.map((name) => h('option', { value: name }, categoryName(name))));

  set(main, 'class', 'asset');
  main.append(
    h('div', { class: 'asset-head' },
      h('a', { class: 'button quiet', href: '/', onclick: back }, icon('back'), t('asset.back')),
      h('span', { class: 'push' }), again, archive, erase, step(-1, 'back', t('asset.previous')), step(1, 'forward', t('asset.next'))),
    h('div', { class: 'asset-body skeleton-until', 'aria-busy': 'true' },
      pictures,
      h('div', { class: 'asset-side' },
        h('div', { class: 'asset-title' }, heading, status),
        wrong, known.element, history,
        h('section', { class: 'panel', 'aria-labelledby': 'about-title' }, h('h2', { id: 'about-title' }, t('asset.about')), about))));
  const body = main.querySelector('.asset-body');
  title(t('asset.about'));

  function show() {
    if (!asset) return;
    body.classList.remove('skeleton-until');
    set(body, 'aria-busy', null);
    const state = stateOf(asset, progressOf(id));
    setText(heading, nameOf(asset));
    title(nameOf(asset));
    status.show(state);
    pictures.show(asset);
    known.show(asset);
    history.show(entries, asset, progressOf(id));
    if (spoken && spoken !== asset.status) announce(t(`status.${asset.status}`));
    spoken = asset.status;

    const failure = asset.status === 'failed' && asset.aiMetadata?.error;
    wrong.hidden = !failure;
    if (failure && wrong.dataset.job !== asset.jobId) { // else it would be said again, and lose the focus
      wrong.dataset.job = asset.jobId;
      wrong.replaceChildren(icon('failed'), h('div', {}, h('p', {}, sentence(asset.aiMetadata.error)), h('p', { class: 'small dim mono' }, t('asset.job', { id: asset.jobId })), again));
    } else if (!failure && again.nextSibling !== archive) {
      delete wrong.dataset.job;
      archive.before(again);
    }
    erase.hidden = false;
    again.hidden = asset.status !== 'failed' && asset.status !== 'partial';
    archive.hidden = asset.status !== 'active' && asset.status !== 'archived';
    setText(archive.lastChild, t(asset.status === 'archived' ? 'asset.unarchive' : 'asset.archive'));
    category.value = asset.category;
    showAbout();
  }

  function showAbout() {
    const { original } = asset.images;
    if (about.childElementCount === 0) {
      about.append(
        h('dt', {}, h('label', { for: 'asset-category' }, t('asset.category'))), h('dd', {}, category),
        h('dt', {}, t('asset.original')), h('dd', {},
          original.width && h('span', { class: 'number' }, t('asset.size', { width: original.width, height: original.height })),
          h('span', { class: 'dim' }, [original.mimeType?.replace('image/', '').toUpperCase(), original.bytes && bytes(original.bytes)].filter(Boolean).join(' · ')),
          h('a', { href: pictureURL(original.url), target: '_blank', rel: 'noopener' }, t('asset.open'))),
        h('dt', {}, t('asset.added')),
        h('dd', {}, h('time', { datetime: asset.createdAt }, moment(asset.createdAt)), h('span', { class: 'dim' }, ago(asset.createdAt))));
    }
  }

  async function load() {
    try {
      asset = await fetchAsset(id, { signal });
      entries = merge(entries, (await get(`/api/assets/${id}/events`, {}, { signal })).items);
      show();
    } catch (error) {
      if (signal.aborted) return;
      if (error.code === 'NOT_FOUND') absent();
      else if (!asset) broken(error);
    }
  }

  let loading;
  const loadSoon = () => {
    clearTimeout(loading);
    loading = setTimeout(load, 120);
  };

  function absent() {
    main.replaceChildren(h('div', { class: 'empty' }, icon('photo'), h('h1', { tabindex: -1 }, t('asset.absent')),
      h('p', {}, t('asset.absentWhy')), h('a', { class: 'button', href: '/' }, icon('back'), t('asset.back'))));
  }

  function broken(error) {
    main.replaceChildren(h('div', { class: 'notice bad', role: 'alert' }, icon('failed'), h('div', { class: 'stack' },
      h('p', {}, t('asset.broken'), ' ', error.message),
      h('p', { class: 'small dim mono' }, [error.code, error.requestId].filter(Boolean).join(' · ')),
      h('div', {}, h('button', { class: 'button', type: 'button', onclick: () => go(location.pathname, { replace: true }) }, icon('retry'), t('collection.again'))))));
  }

  async function change(body) {
    try {
      asset = await patch(id, body);
      show();
      return true;
    } catch (error) {
      fault(t('asset.notSaved'), error);
      show();
      return false;
    }
  }

  async function save(details) {
    const saved = await change({ details });
    if (saved) announce(t('field.accepted'));
    return saved;
  }

  async function onRetry() {
    if (again.hidden) return false;
    set(again, 'disabled', true);
    try {
      asset = await retry(id);
      announce(t('asset.retried'));
      heading.focus({ preventScroll: true }); // the button goes
      await load();
    } catch (error) {
      fault(t('asset.notRetried'), error);
    }
    set(again, 'disabled', false);
    return true;
  }

  async function onArchive() {
    if (archive.hidden) return false;
    const put = asset.status === 'active';
    if (await change({ status: put ? 'archived' : 'active' })) {
      toast(t(put ? 'asset.archived' : 'asset.unarchived'), {
        action: { label: t('delete.undo'), icon: 'undo', run: () => patch(id, { status: put ? 'active' : 'archived' }).catch((error) => fault(t('asset.notSaved'), error)) },
      });
    }
    return true;
  }

  function onDelete() {
    if (!asset) return false;
    deleteLater(id, () => go(`/assets/${id}`));
    leave();
    return true;
  }

  function leave() {
    if (window.history.state?.from === '/') window.history.back();
    else go('/');
  }

  function back(event) {
    if (!plain(event) || window.history.state?.from !== '/') return;
    event.preventDefault();
    window.history.back();
  }

  function neighbour(by) {
    const { ids } = list({ status: '', category: '' });
    const at = ids.indexOf(id);
    const next = at < 0 ? undefined : ids[at + by];
    return next ? `/assets/${next}` : null;
  }

  const goTo = (by) => {
    const address = neighbour(by);
    if (!address) return false;
    go(address, { replace: true });
    return true;
  };

  changes.addEventListener('asset', ({ detail }) => {
    if (detail.id !== id) return;
    asset = detail;
    show();
  }, { signal });
  for (const name of ['asset_progress', 'asset_processed']) {
    events.addEventListener(name, ({ detail }) => detail.assetId === id && loadSoon(), { signal });
  }
  live.addEventListener('change', () => live.state === 'live' && loadSoon(), { signal });
  const tick = setInterval(() => {
    if (asset && (asset.status === 'processing' || asset.status === 'draft')) {
      status.show(stateOf(asset, progressOf(id)));
      history.show(entries, asset, progressOf(id));
      if (live.state !== 'live') loadSoon();
    }
  }, 1000);
  const unbind = bind([
    { key: 'a', label: 'key.accept', run: () => Boolean(asset) && known.accept() },
    { key: 'e', label: 'key.edit', run: () => Boolean(asset) && known.edit() },
    { key: 'r', label: 'key.retry', run: onRetry },
    { key: 'y', label: 'key.archive', run: onArchive },
    { key: 'Delete', label: 'key.delete', run: onDelete },
    { key: 'j', label: 'key.next', run: () => goTo(1) },
    { key: 'k', label: 'key.previous', run: () => goTo(-1) },
    { key: 'Escape', label: 'key.back', run: leave },
  ]);

  show();
  load();
  return () => {
    ended.abort();
    clearInterval(tick);
    clearTimeout(loading);
    unbind();
  };
}

const plain = (event) => !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;

// Entries are only ever added: those that were there keep their lines.
function merge(old, items) {
  const same = (a, b) => a && a.at === b.at && a.event === b.event && a.attempt === b.attempt;
  return items.map((item, i) => (same(old[i], item) ? old[i] : item));
}
