// Uploads under way. Each file is kept in this browser, with the Idempotency-Key it goes by, until the server has it: a
// reload or a crash goes on where it was, and what had arrived unnoticed arrives once.
import { ApiError, errorOf } from '../api.js';
import { fetchAsset } from '../assets.js';
import { bytes, t } from '../i18n.js';
import { renew, session } from '../session.js';
import { server } from '../settings.js';
import { forgetFile, keepFile, keptFiles } from './kept.js';

const AT_ONCE = 3; // uploads at a time
const FIRST_WAIT = 1_000; // milliseconds before an upload is sent again, doubled up to the last
const LAST_WAIT = 30_000;

/**
 * rows are the uploads of this page, oldest first: {id, name, size, file, category, state, sent, error, retryAt, assetId}.
 * state: "checking", "waiting", "sending", "pausing" (will be sent again, at retryAt), "done", "failed" (can be sent again)
 * or "refused" (cannot). "change" events say that rows are others (detail null) or that one has changed (detail: the row).
 */
export const uploads = Object.assign(new EventTarget(), { rows: [] });

/** Takes files in, to be uploaded in a category. */
export function add(files, category) {
  const rows = [...files].map((file) => ({
    id: newKey(), owner: session.user, name: file.name || t('upload.pasted'), size: file.size, file, category,
    state: 'checking', sent: 0, error: '', wait: FIRST_WAIT, kept: false,
  }));
  uploads.rows.push(...rows);
  tell(null);
  for (const row of rows) check(row);
}

/** Takes up what an earlier page of this user's has left. */
export async function resume() {
  const there = new Set(uploads.rows.map((row) => row.id));
  for (const { id, owner, name, file, category } of await keptFiles()) {
    if (owner !== session.user || there.has(id)) continue;
    uploads.rows.push({ id, owner, name, size: file.size, file, category, state: 'waiting', sent: 0, error: '', wait: FIRST_WAIT, kept: true });
  }
  tell(null);
  pump();
}

/** Ends an upload that has not ended yet, and forgets it. */
export function cancel(row) {
  uploads.rows.splice(uploads.rows.indexOf(row), 1);
  row.state = 'cancelled';
  row.request?.abort();
  clearTimeout(row.timer);
  forgetFile(row.id);
  tell(null);
  pump();
}

/** Sends one that failed, or pauses, again at once. */
export function again(row) {
  clearTimeout(row.timer);
  Object.assign(row, { state: 'waiting', error: '', sent: 0, wait: FIRST_WAIT });
  tell(row);
  pump();
}

/** Forgets those that have ended. */
export function tidy() {
  for (const row of uploads.rows) if (row.state === 'failed' || row.state === 'refused') forgetFile(row.id);
  uploads.rows = uploads.rows.filter((row) => !ended(row));
  tell(null);
}

/** Whether nothing more will happen to an upload by itself. */
export const ended = (row) => ['done', 'failed', 'refused'].includes(row.state);

function tell(row) {
  uploads.dispatchEvent(new CustomEvent('change', { detail: row }));
}

function become(row, state, error = '') {
  if (row.state === 'cancelled') return;
  row.state = state;
  row.error = error;
  tell(row);
}

/** Refuses before it is sent what the server would refuse, and keeps what it would not. */
async function check(row) {
  const wrong = await fault(row.file);
  if (wrong) {
    become(row, 'refused', wrong);
    return;
  }
  row.kept = await keepFile({ id: row.id, owner: row.owner, name: row.name, file: row.file, category: row.category, at: Date.now() });
  become(row, 'waiting');
  pump();
}

async function fault(file) {
  if (file.size === 0) return t('upload.empty');
  if (file.size > server.maxUpload) return t('upload.large', { size: bytes(file.size), most: bytes(server.maxUpload) });
  let start;
  try {
    start = new Uint8Array(await file.slice(0, 16).arrayBuffer());
  } catch {
    return t('upload.unreadable');
  }
  return isPhoto(start) ? '' : t('upload.type');
}

/** Whether a file begins as JPEG, PNG, GIF or WebP do. */
export function isPhoto(start) {
  const text = String.fromCharCode(...start);
  return text.startsWith('\xff\xd8\xff') || text.startsWith('\x89PNG\r\n') || text.startsWith('GIF8') ||
    (text.startsWith('RIFF') && text.slice(8, 12) === 'WEBP');
}

function pump() {
  if (!session.token) return;
  let free = AT_ONCE - uploads.rows.filter((row) => row.state === 'sending').length;
  for (const row of uploads.rows) {
    if (free <= 0) return;
    if (row.state !== 'waiting' || row.owner !== session.user) continue;
    free--;
    become(row, 'sending');
    alone(row.id, () => send(row)).then(pump);
  }
}

// Another tab of this user's may have taken up the same file.
async function alone(id, work) {
  if (!navigator.locks) return work();
  return navigator.locks.request(`loupe-upload-${id}`, work);
}

async function send(row) {
  if (row.state !== 'sending') return;
  try {
    const assetId = await post(row);
    forgetFile(row.id);
    Object.assign(row, { sent: row.size, assetId, file: null });
    become(row, 'done');
    fetchAsset(assetId).catch(() => {}); // it comes with the list
  } catch (error) {
    if (row.state === 'sending') await failed(row, error);
  }
}

async function failed(row, error) {
  if (error.status === 401) {
    become(row, 'waiting');
    if (!await renew()) return; // goes on when the user has signed in
    pump();
  } else if (!error.passing) {
    become(row, error.status === 409 ? 'refused' : 'failed', `${error.message}${error.requestId ? ` (${error.requestId})` : ''}`);
  } else if (error.status === 0 && await row.file.slice(0, 1).arrayBuffer().catch(() => null) === null) {
    become(row, 'refused', t('upload.unreadable')); // moved or changed since it was picked
  } else {
    const wait = Math.max(row.wait * (0.75 + Math.random() / 2), error.retryAfter);
    row.retryAt = Date.now() + wait;
    row.wait = Math.min(row.wait * 2, LAST_WAIT);
    become(row, 'pausing', error.message);
    row.timer = setTimeout(() => {
      become(row, 'waiting');
      pump();
    }, wait);
  }
}

/** Sends a file; fetch does not tell how far it is. Resolves to the asset's id. */
function post(row) {
  const body = new FormData();
  body.append('category', row.category);
  body.append('image', row.file, row.name);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    row.request = request;
    request.open('POST', '/api/assets/analyze-queue');
    request.setRequestHeader('authorization', `Bearer ${session.token}`);
    request.setRequestHeader('idempotency-key', row.id);
    request.upload.onprogress = ({ loaded, total }) => {
      row.sent = Math.min(row.size, row.size * loaded / total);
      tell(row);
    };
    request.onload = () => {
      if (request.status === 202) resolve(JSON.parse(request.responseText).data.assetId);
      else reject(errorOf(request.status, request.responseText, (name) => request.getResponseHeader(name)));
    };
    request.onerror = () => reject(new ApiError());
    request.onabort = () => reject(new ApiError());
    request.send(body);
  });
}

/** 128 random bits: randomUUID is not there without TLS. */
function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

session.addEventListener('change', pump);
addEventListener('online', () => uploads.rows.filter((row) => row.state === 'pausing').forEach(again));
addEventListener('beforeunload', (event) => {
  if (uploads.rows.some((row) => !row.kept && !ended(row))) event.preventDefault();
});
