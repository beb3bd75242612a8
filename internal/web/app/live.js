// The connection: what the server tells by itself, and while it cannot, a question every few seconds.
import { connect } from './socket.js';
import { renew, session } from './session.js';
import { hear, look, sync } from './assets.js';

const POLL = 10_000; // milliseconds between two questions while there is no connection

/**
 * state is "connecting" (at first), "live" or "away"; serviceAway is since when the AI service is away, or ''. A "change"
 * event says that one of them is another.
 */
export const live = Object.assign(new EventTarget(), { state: 'connecting', serviceAway: '' });

/** Events of the server's as they come: a CustomEvent of the event's name, its argument in detail. */
export const events = new EventTarget();

let socket = null;
let since; // when the last event was sent that tells of an end: what came after it the server tells again
let timer;

/** Connects as the present user, anew if need be. */
export function start() {
  if (socket) {
    socket.reconnect();
    return;
  }
  socket = connect({
    auth: () => ({ token: session.token, since }),
    onConnect: () => {
      live.serviceAway = ''; // else the server says so next
      become('live');
      look();
    },
    onDisconnect: () => become('away'),
    onRefused: (error) => (['UNAUTHORIZED', 'INVALID_TOKEN', 'TOKEN_EXPIRED'].includes(error.data?.code) ? renew() : true),
    onEvent: (name, event) => {
      if (name === 'asset_processed') since = event.timestamp;
      if (name === 'asset_resync') look();
      else if (name === 'ai_service') serviceIs(event);
      else hear(name, event);
      events.dispatchEvent(new CustomEvent(name, { detail: event }));
    },
  });
}

function serviceIs({ status, since: at }) {
  live.serviceAway = status === 'down' ? at : '';
  live.dispatchEvent(new Event('change'));
}

/** Tries at once. */
export function reconnect() {
  socket?.reconnect();
}

/** Disconnects: nobody is signed in. */
export function stop() {
  socket?.close();
  socket = null;
  since = undefined;
  clearTimeout(timer);
}

function become(state) {
  if (state === live.state) return;
  live.state = state;
  clearTimeout(timer);
  if (state === 'away') timer = setTimeout(poll, POLL);
  live.dispatchEvent(new Event('change'));
}

async function poll() {
  try {
    if (document.visibilityState === 'visible') await sync();
  } catch {
    // The banner says already that there is no connection.
  }
  if (live.state === 'away') timer = setTimeout(poll, POLL);
}

addEventListener('online', reconnect);
addEventListener('offline', () => become('away'));
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible' && live.state === 'away') reconnect();
});
