// The user's assets, as far as this page knows them: one record of each, whoever shows it, and lists that follow them.
import { call, get } from './api.js';
import { session } from './session.js';

/** An event says "look": {type: "asset", detail: asset} for each that has changed or come, {type: "gone", detail: id}. */
export const changes = new EventTarget();

const known = new Map(); // by id
const progress = new Map(); // what the last asset_progress said, by id, while the asset is being analysed
const hidden = new Set(); // ids that are being deleted
let newest = ''; // the latest updatedAt that was seen: times of the server's, as text they sort

/** The record of an asset, if it is known. */
export const peek = (id) => (hidden.has(id) ? undefined : known.get(id));

/** What is known of an analysis under way: {status, attempt, maxAttempts, retryAt, position when it was queued}. */
export const progressOf = (id) => progress.get(id);

/** Takes a record in. */
export function take(asset) {
  if (asset.updatedAt > newest) newest = asset.updatedAt;
  const before = known.get(asset.id);
  if (before && before.updatedAt > asset.updatedAt) return before;
  known.set(asset.id, asset);
  if (asset.status !== 'processing' && asset.status !== 'draft') progress.delete(asset.id);
  if (!before || before.updatedAt !== asset.updatedAt) tell('asset', asset);
  return asset;
}

function tell(type, detail) {
  for (const list of lists.values()) {
    if (type === 'asset') list.follow(detail);
    else list.drop(detail);
  }
  changes.dispatchEvent(new CustomEvent(type, { detail }));
}

/** Reads an asset anew. */
export async function fetchAsset(id, options) {
  return take(await get(`/api/assets/${id}`, {}, options));
}

/** Changes an asset of the owner's: {category, details, status}. */
export async function patch(id, body) {
  return take(await call('PATCH', `/api/assets/${id}`, body));
}

/** Starts another run of an asset. */
export async function retry(id) {
  await call('POST', `/api/assets/${id}/retry`);
  return fetchAsset(id);
}

/** Takes an asset out of sight, until restore or remove. */
export function hide(id) {
  hidden.add(id);
  tell('gone', id);
}

/** Puts a hidden asset back. */
export function restore(id) {
  hidden.delete(id);
  if (known.has(id)) tell('asset', known.get(id));
}

/** Deletes an asset. One that is gone already is deleted too. */
export async function remove(id, options) {
  try {
    await call('DELETE', `/api/assets/${id}`, undefined, options);
  } catch (error) {
    if (error.code !== 'NOT_FOUND') throw error;
  }
  forget(id);
}

/** Forgets an asset that is no more. */
export function forget(id) {
  known.delete(id);
  progress.delete(id);
  tell('gone', id);
  hidden.delete(id);
}

/** Takes in what an event said. The list is the truth: an event only shows earlier what it will say. */
export function hear(name, event) {
  const asset = known.get(event.assetId);
  if (name === 'asset_progress') {
    if (asset && event.timestamp < asset.updatedAt && !running(asset)) return;
    if (progress.size > 10_000) progress.clear();
    progress.set(event.assetId, event);
    if (asset) tell('asset', asset);
  }
  if (name === 'asset_progress' && asset && running(asset)) return;
  look();
}

const running = (asset) => asset.status === 'processing' || asset.status === 'draft';

let looking = null;
let again = false;
let timer;

/** Soon asks the server what has changed: many events make one question. */
export function look() {
  clearTimeout(timer);
  timer = setTimeout(sync, 150);
}

const OVERLAP = 2_000; // milliseconds: what was written side by side need not have come in order of its times
const MOST_PAGES = 5;

/** Asks the server what has changed since the last answer. Rejects if it does not answer. */
export function sync() {
  again = looking !== null;
  looking ??= ask().finally(() => {
    looking = null;
    if (again) look();
  });
  return looking;
}

async function ask() {
  if (!session.token || newest === '') return;
  const updatedAfter = new Date(Date.parse(newest) - OVERLAP).toISOString();
  let cursor;
  for (let page = 0; page < MOST_PAGES; page++) {
    const { items, nextCursor } = await get('/api/assets', { updatedAfter, limit: 100, cursor });
    items.forEach(take);
    if (!nextCursor) return;
    cursor = nextCursor;
  }
  for (const list of lists.values()) list.restart(); // so much has changed that the lists begin anew
}

const PAGE = 100; // assets at a time

/** Lists that are kept, so that one who comes back finds them as they were: the last few, by their filter. */
const lists = new Map();
const MOST_LISTS = 4;

/** The list of a filter, {status, category}; both may be ''. */
export function list(filter) {
  const key = `${session.user} ${filter.status} ${filter.category}`;
  const found = lists.get(key) ?? new List(filter);
  lists.delete(key);
  lists.set(key, found);
  if (lists.size > MOST_LISTS) lists.delete(lists.keys().next().value);
  return found;
}

/** Forgets everything, as of another user. */
export function clear() {
  known.clear();
  progress.clear();
  hidden.clear();
  lists.clear();
  newest = '';
}

/**
 * A list of assets, newest first, that grows at its end by more() and follows what changes. ids are those in it; state is
 * "new", "loading", "ready", "failed" (see error) or "done": everything is here. Each change is a "change" event.
 */
class List extends EventTarget {
  ids = [];
  state = 'new';
  error = null;
  #filter;
  #has = new Set();
  #cursor = null;
  #generation = 0;

  constructor(filter) {
    super();
    this.#filter = filter;
  }

  /** Whether an asset belongs here. What is archived is only seen where it is asked for. */
  #matches(asset) {
    const { status, category } = this.#filter;
    if (hidden.has(asset.id) || (category && asset.category !== category)) return false;
    return status ? asset.status === status || (status === 'processing' && asset.status === 'draft') : asset.status !== 'archived';
  }

  /** Reads the next page. */
  async more() {
    if (this.state === 'loading' || this.state === 'done') return;
    const generation = this.#generation;
    this.#become('loading');
    try {
      const page = await get('/api/assets', { ...this.#filter, limit: PAGE, cursor: this.#cursor });
      if (generation !== this.#generation) return;
      this.#cursor = page.nextCursor;
      const first = newest === '';
      for (const asset of page.items) this.#add(take(asset));
      if (first && newest === '') newest = new Date(Date.now() - 3_600_000).toISOString();
      this.#become(page.nextCursor ? 'ready' : 'done');
    } catch (error) {
      if (generation !== this.#generation) return;
      this.error = error;
      this.#become('failed');
    }
  }

  /** Begins anew, with what is there now. */
  restart() {
    this.#generation++;
    this.#cursor = null;
    this.ids = [];
    this.#has.clear();
    this.state = 'new';
    return this.more();
  }

  #become(state) {
    this.state = state;
    this.dispatchEvent(new Event('change'));
  }

  /** Takes note of an asset that has changed or come. */
  follow(asset) {
    if (!this.#matches(asset)) {
      this.drop(asset.id);
    } else if (this.#has.has(asset.id)) {
      this.dispatchEvent(new CustomEvent('update', { detail: asset }));
    } else if (this.state === 'done' || this.#isAboveEnd(asset)) {
      this.#add(asset);
      this.dispatchEvent(new Event('change'));
    }
  }

  // One that lies beyond what was read comes with its page.
  #isAboveEnd(asset) {
    const last = known.get(this.ids.at(-1));
    return this.state === 'new' || !last ? false : newer(asset, last);
  }

  #add(asset) {
    if (this.#has.has(asset.id) || !this.#matches(asset)) return;
    this.#has.add(asset.id);
    let low = 0;
    let high = this.ids.length;
    if (high > 0 && newer(known.get(this.ids[high - 1]) ?? asset, asset)) low = high; // mostly it goes to the end
    while (low < high) {
      const middle = (low + high) >> 1;
      if (newer(asset, known.get(this.ids[middle]))) high = middle;
      else low = middle + 1;
    }
    this.ids.splice(low, 0, asset.id);
  }

  /** Takes note of an asset that is gone. */
  drop(id) {
    if (!this.#has.delete(id)) return;
    this.ids.splice(this.ids.indexOf(id), 1);
    this.dispatchEvent(new Event('change'));
  }
}

function newer(a, b) {
  return a.createdAt === b.createdAt ? a.id > b.id : a.createdAt > b.createdAt;
}
