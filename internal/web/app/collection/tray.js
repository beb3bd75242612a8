// The tray of uploads, at the foot of every view: one bar for all, a row for each.
import { arrange, h, set, setText } from '../dom.js';
import { icon } from '../icons.js';
import { bytes, duration, t } from '../i18n.js';
import { session } from '../session.js';
import { announce } from '../toast.js';
import { categoryName } from '../status.js';
import { again, cancel, ended, tidy, uploads } from './uploads.js';

const THUMB = 80; // pixels of a thumbnail, twice what it takes on the page

const title = h('h2', { class: 'number' });
const bar = h('div', { class: 'bar', role: 'progressbar', 'aria-label': t('upload.all'), 'aria-valuemin': 0, 'aria-valuemax': 100 });
const rows = h('ul', { id: 'upload-rows' });
const fold = h('button', { class: 'button quiet small square', type: 'button', 'aria-controls': 'upload-rows', 'aria-expanded': 'true', 'aria-label': t('upload.rows'), onclick: () => {
  rows.hidden = !rows.hidden;
  set(fold, 'aria-expanded', String(!rows.hidden));
} }, icon('down'));
const close = h('button', { class: 'button quiet small square', type: 'button', 'aria-label': t('upload.close'), onclick: tidy }, icon('close'));
const tray = h('section', { class: 'tray', 'aria-label': t('upload.region'), hidden: true },
  h('div', { class: 'tray-head' }, title, h('span', { class: 'push' }), fold, close), bar, rows);
document.body.append(tray);

const shown = new Map(); // rows by upload
let frame = 0;

uploads.addEventListener('change', () => { frame ||= requestAnimationFrame(paint); });
setInterval(() => {
  for (const [upload, row] of shown) if (upload.state === 'pausing') row.show();
}, 1000);

let working = false;
let leaving;

const LEAVES = 5_000; // milliseconds after which a tray that has nothing to tell goes by itself

function paint() {
  frame = 0;
  const all = uploads.rows.filter((upload) => session.user === '' || upload.owner === session.user); // not those of who was here before
  tray.hidden = all.length === 0;
  for (const upload of shown.keys()) if (!all.includes(upload)) shown.delete(upload);
  arrange(rows, all.map((upload) => {
    const row = shown.get(upload) ?? element(upload);
    shown.set(upload, row);
    row.show();
    return row;
  }));

  const done = all.filter((upload) => upload.state === 'done').length;
  const bad = all.filter((upload) => upload.state === 'failed' || upload.state === 'refused').length;
  const over = all.every(ended);
  const text = over ? t(bad ? 'upload.some' : 'upload.done', { n: bad || done, done }) : t('upload.under', { done: done + bad + 1, of: all.length, n: all.length });
  setText(title, text);
  const good = all.filter((upload) => upload.state !== 'refused' && upload.state !== 'failed');
  const size = good.reduce((sum, upload) => sum + upload.size, 0);
  const part = size === 0 ? 1 : good.reduce((sum, upload) => sum + upload.sent, 0) / size;
  bar.style.setProperty('--part', part);
  set(bar, 'class', `bar${over ? (bad ? ' bad' : ' good') : ''}`);
  set(bar, 'aria-valuenow', Math.round(part * 100));
  set(bar, 'aria-valuetext', text);
  close.hidden = !over;
  if (working && over && all.length > 0) announce(text);
  working = !over;
  clearTimeout(leaving);
  if (over && bad === 0) leaving = setTimeout(leave, LEAVES);
}

function leave() {
  if (tray.matches(':hover, :focus-within')) leaving = setTimeout(leave, LEAVES);
  else tidy();
}

function element(upload) {
  const state = h('span', { class: 'small dim cut' });
  const bar = h('div', { class: 'bar', 'aria-hidden': 'true' });
  const name = h('span', { class: 'cut' }, upload.name);
  const retry = h('button', { class: 'button quiet small square', type: 'button', 'aria-label': t('upload.again', { name: upload.name }), onclick: () => again(upload) }, icon('retry'));
  const stop = h('button', { class: 'button quiet small square', type: 'button', 'aria-label': t('upload.cancel', { name: upload.name }), onclick: () => {
    const next = row.nextElementSibling ?? row.previousElementSibling;
    cancel(upload);
    (next?.querySelector('button:not([hidden])') ?? document.querySelector('#main')).focus();
  } }, icon('close'));
  const link = h('a', { class: 'button quiet small', hidden: true }, t('upload.open'));
  const row = h('li', { class: 'tray-row' }, thumbnail(upload.file), h('div', { class: 'tray-text' }, name, state, bar), link, retry, stop);
  row.show = () => {
    row.dataset.state = upload.state;
    setText(state, words(upload));
    set(state, 'title', upload.error || null);
    bar.style.setProperty('--part', upload.size ? upload.sent / upload.size : 0);
    bar.hidden = ended(upload) || upload.state === 'checking';
    retry.hidden = upload.state !== 'failed' && upload.state !== 'pausing';
    stop.hidden = upload.state === 'done';
    link.hidden = upload.state !== 'done';
    if (upload.assetId) {
      set(link, 'href', `/assets/${upload.assetId}`);
      set(link, 'aria-label', t('upload.opens', { name: upload.name }));
    }
  };
  return row;
}

function words(upload) {
  switch (upload.state) {
    case 'sending':
      return upload.sent < upload.size
        ? t('upload.sending', { sent: bytes(upload.sent), size: bytes(upload.size) })
        : t('upload.storing');
    case 'waiting':
      return `${categoryName(upload.category)} · ${bytes(upload.size)} · ${t('upload.waiting')}`;
    case 'pausing':
      return `${upload.error} ${t('upload.pausing', { time: duration(Math.max(0, Math.ceil((upload.retryAt - Date.now()) / 1000) * 1000)) })}`;
    case 'failed':
    case 'refused':
      return upload.error;
    default:
      return upload.state === 'done' ? `${categoryName(upload.category)} · ${t('upload.arrived')}` : t('upload.checking');
  }
}

// One at a time, and small: a hundred photos of a camera would not fit into memory side by side.
let drawing = Promise.resolve();

function thumbnail(file) {
  const canvas = h('canvas', { class: 'thumb', width: THUMB, height: THUMB, 'aria-hidden': 'true' });
  drawing = drawing.then(async () => {
    if (!file) return;
    const bitmap = await createImageBitmap(file, { resizeHeight: THUMB * 1.5, resizeQuality: 'medium' }).catch(() => null);
    if (!bitmap) return;
    const scale = Math.max(THUMB / bitmap.width, THUMB / bitmap.height);
    const [width, height] = [bitmap.width * scale, bitmap.height * scale];
    canvas.getContext('2d').drawImage(bitmap, (THUMB - width) / 2, (THUMB - height) / 2, width, height);
    bitmap.close();
  });
  return canvas;
}
