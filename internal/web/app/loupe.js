// The first web app: upload photos, see what becomes of them. The list is the truth; an event only says when to look.
import { connect } from './socket.js';

const form = document.querySelector('#upload');
const list = document.querySelector('#assets');
const message = document.querySelector('#message');
const connection = document.querySelector('#connection');

let token = await signIn();
connect({
  token: () => token,
  onState: (text) => { connection.textContent = text; refresh(); },
  onEvent: (name, event) => (name === 'asset_progress' ? showProgress(event) : refresh()),
  onRefused: async () => { token = await signIn(); },
});

form.addEventListener('submit', async (submit) => {
  submit.preventDefault();
  message.textContent = '';
  for (const file of form.elements.image.files) {
    const body = new FormData();
    body.append('category', form.elements.category.value);
    body.append('image', file);
    await call('POST', '/api/assets/analyze-queue', body).catch((error) => {
      message.textContent = `${file.name}: ${error.message}`;
    });
  }
  form.reset();
  refresh();
});

// A server without JWT_SECRET signs this machine's user in; otherwise a token is handed over behind the #.
async function signIn() {
  const given = new URLSearchParams(location.hash.slice(1)).get('token');
  if (given) {
    sessionStorage.setItem('token', given);
    history.replaceState(null, '', location.pathname);
  }
  const answer = await fetch('/api/session', { method: 'POST' });
  if (answer.ok) return (await answer.json()).token;
  const kept = sessionStorage.getItem('token');
  if (!kept) message.textContent = 'Open this page with #token=… behind its address to sign in.';
  return kept ?? '';
}

async function call(method, path, body) {
  const answer = await fetch(path, { method, body, headers: { authorization: `Bearer ${token}` } });
  const content = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) throw new Error(content.error.details?.[0]?.message ?? content.error.message);
  return content;
}

async function refresh() {
  if (!token) return;
  try {
    const { items } = await call('GET', '/api/assets?limit=50');
    list.replaceChildren(...items.map(show));
  } catch (error) {
    message.textContent = error.message;
  }
}

function show(asset) {
  const item = document.createElement('li');
  item.dataset.id = asset.id;
  const picture = document.createElement('img');
  picture.src = (asset.images.processed ?? asset.images.original).url;
  picture.alt = asset.category;
  picture.loading = 'lazy';
  const status = document.createElement('p');
  status.className = 'status';
  status.textContent = asset.status;
  const found = document.createElement('p');
  const ai = asset.aiMetadata ?? {};
  found.textContent = asset.status === 'failed' ? ai.error : ['brand', 'model', 'colorway']
    .filter((name) => ai[name])
    .map((name) => `${ai[name].value} (${Math.round(100 * ai[name].confidence)} %)`)
    .join(', ');
  item.append(picture, status, found);
  return item;
}

function showProgress({ assetId, status, attempt, maxAttempts }) {
  const line = list.querySelector(`[data-id="${CSS.escape(assetId)}"] .status`);
  if (line) line.textContent = attempt ? `${status}, attempt ${attempt} of ${maxAttempts}` : status;
  else refresh();
}
