// The dead letters: found by search, looked into, put back to work or given up; one, some, or all that match.
import { arrange, h, set, setText } from '../dom.js';
import { icon } from '../icons.js';
import { number, t } from '../i18n.js';
import { call, get } from '../api.js';
import { bind } from '../keys.js';
import { fault, toast } from '../toast.js';
import { ask } from './ask.js';
import { letterRow } from './letter.js';

const PAGE = 50;
const MOST = 1000; // ids in one request
const PATH = '/api/admin/failed-jobs';

/**
 * letters({query, signal, changed}) returns an element. element.note(failed) tells it how many dead letters there are now;
 * changed is called when it has changed that itself.
 */
export function letters({ query, signal, changed }) {
  let q = query.get('q') ?? '';
  let list = []; // rows, newest failure first
  let cursor = null;
  let total = null; // dead letters that there are
  let matching = null; // of them those that q finds: {count, more}
  let asked = 0; // the latest question: answers to those before it count no more
  let stale = false;

  const heading = h('h2', { id: 'letters-title', tabindex: -1 }, t('letters.title'));
  const count = h('p', { class: 'dim number', role: 'status' });
  const search = h('input', { class: 'input', type: 'search', id: 'letters-search', value: q, placeholder: t('letters.place'), autocomplete: 'off', spellcheck: 'false', enterkeyhint: 'search', 'aria-label': t('letters.search'), oninput: () => searchSoon() });
  const button = (name, run, props) => h('button', { class: 'button', type: 'button', onclick: run, ...props }, icon(name), h('span', {}));
  const retryAll = button('retry', () => askAll(false));
  const discardAll = button('trash', () => askAll(true), { class: 'button quiet danger' });
  const retrySome = button('retry', retrySelected, { class: 'button primary' });
  const discardSome = button('trash', discardSelected, { class: 'button danger' });
  const clear = h('button', { class: 'button quiet', type: 'button', onclick: () => { selectAll(false); search.focus(); } }, t('letters.clear'));
  const news = h('button', { class: 'button small letters-news', type: 'button', hidden: true, onclick: () => refresh() }, icon('retry'), t('letters.news'));
  const all = h('input', { type: 'checkbox', 'aria-label': t('letters.selectAll'), onchange: () => selectAll(all.checked) });
  const body = h('tbody', {});
  const table = h('table', { class: 'table letters-table' },
    h('caption', { class: 'unseen' }, t('letters.title')),
    h('thead', {}, h('tr', {}, h('th', { scope: 'col', class: 'letter-box' }, all), h('th', { scope: 'col' }, t('letters.reason')),
      h('th', { scope: 'col', class: 'letter-category' }, t('letters.category')), h('th', { scope: 'col', class: 'letter-user' }, t('letters.user')),
      h('th', { scope: 'col', class: 'number letter-tries' }, t('letters.tries')), h('th', { scope: 'col', class: 'number letter-when' }, t('letters.failed')))),
    body);
  const more = h('button', { class: 'button', type: 'button', hidden: true, onclick: () => load(true) }, t('letters.more'));
  const below = h('div', { class: 'letters-below' });
  const element = h('section', { class: 'panel letters', 'aria-labelledby': 'letters-title' },
    h('div', { class: 'letters-head' }, heading, count, h('span', { class: 'push' }), news),
    h('div', { class: 'letters-tools' },
      h('div', { class: 'letters-search' }, icon('search'), search),
      h('div', { class: 'row' }, retrySome, discardSome, clear, retryAll, discardAll)),
    table, more, below);

  const selected = () => list.filter((row) => row.selected);
  const nouns = (n) => t('letters.n', { n });

  /** Where the focus goes when what had it is gone. */
  const land = () => heading.focus({ preventScroll: true });

  function keepingFocus(change) {
    const had = element.contains(document.activeElement);
    change();
    if (had && !(element.contains(document.activeElement) && document.activeElement.checkVisibility())) land();
  }

  const show = () => keepingFocus(paint);

  function paint() {
    const some = selected().length;
    const n = q ? matching?.count ?? null : total;
    retrySome.hidden = discardSome.hidden = clear.hidden = some === 0;
    retryAll.hidden = discardAll.hidden = some > 0 || !n;
    setText(retrySome.lastChild, t('letters.retrySome', { n: some }));
    setText(discardSome.lastChild, t('letters.discardSome', { n: some }));
    setText(retryAll.lastChild, t(q ? 'letters.retryMatching' : 'letters.retryAll', { n: counted(n ?? 0) }));
    setText(discardAll.lastChild, t(q ? 'letters.discardMatching' : 'letters.discardAll', { n: counted(n ?? 0) }));
    setText(count, total === null ? '' : q ? matching ? t('letters.found', { n: counted(matching.count), of: number(total) }) : '' : total > 0 ? number(total) : '');
    all.checked = some > 0 && some === list.length;
    all.indeterminate = some > 0 && some < list.length;
    table.hidden = list.length === 0;
    more.hidden = !cursor;
    news.hidden = !stale;
  }

  const counted = (n) => (q && matching?.more ? `${number(n)}+` : number(n));

  /** Reads the list anew, or on from its end. Rows that stay keep what the user has done to them. */
  async function load(on = false) {
    const mine = ++asked;
    const limit = on ? PAGE : Math.min(100, Math.max(PAGE, list.length));
    set(table, 'aria-busy', 'true');
    try {
      const [page, matches] = await Promise.all([
        get(PATH, { q, limit, cursor: on ? cursor : undefined }, { signal }),
        q ? get(`${PATH}/count`, { q }, { signal }).then(({ data }) => data) : null,
      ]);
      if (mine !== asked) return;
      const known = new Map(list.map((row) => [row.id, row]));
      const rows = page.items.map((letter) => {
        const before = known.get(letter.id);
        return before && before.failedAt === letter.failedAt ? before : Object.assign(letterRow(letter, { onselect: show, onretry: retryOne, ondiscard: discardOne }), { failedAt: letter.failedAt });
      });
      const first = list.length;
      list = on ? [...list, ...rows.filter((row) => !known.has(row.id))] : rows;
      cursor = page.nextCursor;
      matching = matches;
      stale = false;
      keepingFocus(() => {
        arrange(body, list.flatMap((row) => row.rows));
        arrange(below, list.length > 0 ? [] : [nothing()]);
      });
      if (on) list[first]?.focus();
    } catch (error) {
      if (signal.aborted || mine !== asked) return;
      arrange(below, [broken(error)]);
    }
    set(table, 'aria-busy', null);
    show();
  }

  const refresh = () => load();

  const nothing = () => h('div', { class: 'empty letters-empty' }, icon(q ? 'search' : 'ready'), h('p', {}, t(q ? 'letters.nothing' : 'letters.none')));

  const broken = (error) => h('div', { class: 'notice bad', role: 'alert' }, icon('failed'), h('div', { class: 'stack' },
    h('p', {}, t('letters.broken'), ' ', error.message),
    h('p', { class: 'small dim mono' }, [error.code, error.requestId].filter(Boolean).join(' · ')),
    h('div', {}, h('button', { class: 'button', type: 'button', onclick: refresh }, icon('retry'), t('collection.again')))));

  let searching;
  function searchSoon() {
    clearTimeout(searching);
    searching = setTimeout(() => {
      if (q === search.value.trim()) return;
      q = search.value.trim();
      history.replaceState(history.state, '', q ? `${location.pathname}?${new URLSearchParams({ q })}` : location.pathname);
      list = [];
      matching = null;
      load();
    }, 250);
  }

  function selectAll(on) {
    for (const row of list) if (row.selected !== on) row.select(on);
    show();
  }

  function done(n, wanted, text) {
    toast(n < wanted ? `${t(text, { n })} ${t('letters.passed', { n: wanted - n })}` : t(text, { n }));
    selectAll(false);
    changed();
    load();
  }

  const retry = (body) => call('POST', `${PATH}/retry`, body).then(({ data }) => data.retried);
  const discard = (body) => call('POST', `${PATH}/discard`, body).then(({ data }) => data.discarded);

  async function retryOne(id) {
    try {
      await call('POST', `${PATH}/${encodeURIComponent(id)}/retry`);
      done(1, 1, 'letters.retried');
    } catch (error) {
      fault(t('letters.notRetried'), error);
    }
  }

  function discardOne(id) {
    ask({
      title: t('letters.askDiscard', { what: nouns(1) }), text: t('letters.discardWhat'), yes: t('letters.discard'), danger: true, after: land,
      run: async () => {
        await call('DELETE', `${PATH}/${encodeURIComponent(id)}`);
        done(1, 1, 'letters.discarded');
      },
    });
  }

  async function retrySelected() {
    const ids = selected().map((row) => row.id);
    if (ids.length === 0 || retrySome.ariaBusy) return false;
    set(retrySome, 'aria-busy', 'true');
    try {
      done(await inParts(ids, retry), ids.length, 'letters.retried');
    } catch (error) {
      fault(t('letters.notRetried'), error);
      await load();
    }
    set(retrySome, 'aria-busy', null);
    return true;
  }

  function discardSelected() {
    const ids = selected().map((row) => row.id);
    if (ids.length === 0) return false;
    ask({
      title: t('letters.askDiscard', { what: nouns(ids.length) }), text: t('letters.discardWhat'), yes: t('letters.discardSome', { n: ids.length }), danger: true, after: land,
      run: async () => done(await inParts(ids, discard), ids.length, 'letters.discarded'),
    });
    return true;
  }

  async function inParts(ids, send) {
    let n = 0;
    for (let i = 0; i < ids.length; i += MOST) n += await send({ ids: ids.slice(i, i + MOST) });
    return n;
  }

  /** All that match: counted anew, so that what is confirmed is what there is. */
  async function askAll(gone) {
    const what = q;
    const which = gone ? discardAll : retryAll; // it is not disabled meanwhile: that would take its focus away
    if (which.ariaBusy) return;
    set(which, 'aria-busy', 'true');
    let found;
    try {
      found = (await get(`${PATH}/count`, { q: what }, { signal })).data;
    } catch (error) {
      if (!signal.aborted) fault(t('letters.broken'), error);
      return;
    } finally {
      set(which, 'aria-busy', null);
    }
    const n = found.count;
    ask({
      title: t(gone ? 'letters.askDiscard' : 'letters.askRetry', { what: `${nouns(n)}${found.more ? '+' : ''}` }),
      text: [what && t('letters.matching', { q: what }), t(gone ? 'letters.discardWhat' : 'letters.retryWhat')].filter(Boolean).join(' '),
      yes: t(gone ? 'letters.discardSome' : 'letters.retrySome', { n }),
      danger: gone, after: land,
      run: async () => done(await (gone ? discard : retry)({ all: true, q: what }), found.more ? 0 : n, gone ? 'letters.discarded' : 'letters.retried'),
    });
  }

  const here = () => list.findIndex((row) => row.rows.some((each) => each.contains(document.activeElement)));

  function step(by) {
    if (list.length === 0) return false;
    const at = here();
    const next = at < 0 ? (by > 0 ? 0 : list.length - 1) : Math.min(list.length - 1, Math.max(0, at + by));
    list[next].focus();
    return true;
  }

  function onRow(run) {
    const row = list[here()];
    if (!row) return false;
    run(row);
    return true;
  }

  const resized = new ResizeObserver(() => {
    for (const row of list) if (row.opened) row.fit();
  });
  resized.observe(element);

  const unbind = bind([
    { key: '/', label: 'key.search', run: () => search.focus() },
    { key: 'j', label: 'key.nextLetter', run: () => step(1) },
    { key: 'k', label: 'key.previousLetter', run: () => step(-1) },
    { key: 'x', label: 'key.select', run: () => onRow((row) => row.select(!row.selected)) },
    { key: 'r', label: 'key.retryLetters', run: () => retrySelected() !== false || onRow((row) => retryOne(row.id)) },
    { key: 'Delete', label: 'key.discardLetters', run: () => discardSelected() || onRow((row) => discardOne(row.id)) },
    { key: 'Escape', run: () => selected().length > 0 && (selectAll(false), true) },
  ]);

  element.note = (failed, now) => {
    const moved = total !== null && failed !== total;
    const first = total === null;
    total = failed;
    for (const row of list) row.touch(now);
    if (moved || first) {
      // Nobody's reading is disturbed: where a row is open or selected, or much was read, a button brings the news.
      const untouched = list.length <= 100 && !list.some((row) => row.selected || row.opened);
      if (first || untouched) load();
      else stale = true;
    }
    show();
  };
  element.close = () => {
    unbind();
    resized.disconnect();
    clearTimeout(searching);
  };
  element.search = () => search.focus();
  show();
  return element;
}
