// Who the user is: a token, kept in this tab alone. A server that runs for its own machine gives one to whoever asks; any
// other takes one that is pasted, or handed over as #token=… behind the address, which no server ever sees.
import { server } from './settings.js';

const KEY = 'loupe.token';
const EARLY = 5 * 60_000; // how long before its end a session is renewed, or its end is told

/**
 * The session as it is: token is '' while nobody is signed in; expires is a time in milliseconds or Infinity. Its events:
 * "change" (another token, or none), "ending" (it will end soon), "ended" (a token is needed).
 */
export const session = Object.assign(new EventTarget(), { token: '', user: '', admin: false, expires: Infinity });

let timer;

/** Signs in by what there is, and says whether that was enough. */
export async function start() {
  const handed = new URLSearchParams(location.hash.slice(1)).get('token');
  if (handed !== null) history.replaceState(history.state, '', location.pathname + location.search);
  for (const token of [handed, kept()]) {
    if (token && use(token)) return true;
  }
  return renew();
}

/** Takes a token, and says whether it can be one: what it is worth the server says. */
export function use(token) {
  const claims = read(token);
  if (!claims || claims.exp * 1000 <= Date.now()) return false;
  Object.assign(session, {
    token, user: String(claims[server.userClaim] ?? ''), admin: claims.role === 'admin',
    expires: claims.exp ? claims.exp * 1000 : Infinity,
  });
  keep(token);
  session.dispatchEvent(new Event('change'));
  watch();
  return true;
}

let renewal = null;

/** Gets a new token, where the server gives them away; elsewhere it asks the user, by "ended". One at a time. */
export function renew() {
  renewal ??= local().finally(() => { renewal = null; });
  return renewal;
}

async function local() {
  if (server.local) {
    const answer = await fetch('/api/session', { method: 'POST' }).catch(() => null);
    if (!answer) return false; // no connection: whoever asked tries again
    if (answer.ok && use((await answer.json()).token)) return true;
  }
  end();
  return false;
}

/** Signs out. */
export function end() {
  clearTimeout(timer);
  keep('');
  Object.assign(session, { token: '', user: '', admin: false, expires: Infinity });
  session.dispatchEvent(new Event('change'));
  session.dispatchEvent(new Event('ended'));
}

/** Whether the session will end soon. */
export const endsSoon = () => session.expires - Date.now() <= EARLY;

// Timers are bounded to about 24 days, and sleep with the machine: each looks again.
function watch() {
  clearTimeout(timer);
  const left = session.expires - Date.now();
  if (left <= 0) {
    renew();
  } else if (endsSoon()) {
    if (server.local) renew();
    else session.dispatchEvent(new Event('ending'));
    timer = setTimeout(watch, left);
  } else if (left < Infinity) {
    timer = setTimeout(watch, Math.min(left - EARLY, 3_600_000));
  }
}

function read(token) {
  try {
    const part = token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(part), (c) => c.charCodeAt(0))));
  } catch {
    return null;
  }
}

function kept() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function keep(token) {
  try {
    if (token) sessionStorage.setItem(KEY, token);
    else sessionStorage.removeItem(KEY);
  } catch {
    // It holds until the page is left.
  }
}
