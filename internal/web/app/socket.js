// A Socket.IO client of the default namespace: it receives events, and comes back after a loss, by WebSocket or, where that
// does not come through, by polling. Packets: https://github.com/socketio/socket.io-protocol and engine.io-protocol.

const FIRST_WAIT = 500; // milliseconds before the first new try, doubled up to the last
const LAST_WAIT = 10_000;
const OPENING = 8_000; // how long a connection may take to be let in
const SEPARATOR = '\x1e';

/**
 * connect({auth, onConnect, onDisconnect, onRefused, onEvent, origin, transports, makeSocket}) keeps a connection.
 *
 *   auth()            what each connection says of itself, such as {token}
 *   onConnect(how)    it stands; how is "websocket" or "polling"
 *   onDisconnect()    it is lost, or could not be made: another try follows
 *   onRefused(error)  the server does not let it in: {message, data}. When what it returns resolves, to anything but
 *                     false, another try follows; else reconnect() makes one.
 *   onEvent(name, ...args)
 *
 * It returns {close(), reconnect()}: the second tries at once.
 */
export function connect(options) {
  const { auth = () => ({}), onConnect, onDisconnect, onRefused, onEvent } = options;
  const origin = options.origin ?? location.origin;
  const transports = options.transports ?? ['websocket', 'polling'];
  const makers = { websocket: openWebSocket, polling: openPolling };
  let which = 0; // the transport to try; the one that stood last goes first
  let wait = FIRST_WAIT;
  let line = null; // the present connection
  let timer;
  let closed = false;

  function open() {
    clearTimeout(timer);
    if (closed) return;
    const name = transports[which % transports.length];
    const mine = { up: false, refused: false, ended: false, beat: 0 };
    line = mine;
    const wire = makers[name](origin, { packet: (text) => packet(mine, name, text), end: () => ended(mine), ...options });
    mine.send = wire.send;
    mine.drop = () => { wire.close(); ended(mine); };
    mine.beat = setTimeout(mine.drop, OPENING);
  }

  function packet(mine, name, text) {
    if (mine.ended) return;
    const body = text.slice(text[0] === '4' ? 2 : 1);
    switch (text.slice(0, text.length - body.length)) {
      case '0':
        mine.silence = silence(JSON.parse(body));
        mine.send(`40${JSON.stringify(auth())}`);
        break;
      case '1':
      case '41':
        mine.drop();
        return;
      case '2':
        mine.send('3');
        break;
      case '40':
        mine.up = true;
        wait = FIRST_WAIT;
        onConnect?.(name);
        break;
      case '44':
        refuse(mine, JSON.parse(body));
        return;
      case '42':
        onEvent?.(...JSON.parse(body.slice(body.indexOf('['))));
        break;
      default: // acknowledgements and binary events: the server sends none
    }
    if (mine.up) {
      clearTimeout(mine.beat);
      mine.beat = setTimeout(mine.drop, mine.silence);
    }
  }

  async function refuse(mine, error) {
    mine.refused = true;
    mine.drop();
    if (await onRefused?.(error) !== false && line === mine) later();
  }

  function ended(mine) {
    if (mine.ended) return;
    mine.ended = true;
    clearTimeout(mine.beat);
    if (line !== mine || closed) return;
    if (!mine.up && !mine.refused) which++;
    onDisconnect?.();
    if (!mine.refused) later();
  }

  function later() {
    clearTimeout(timer);
    timer = setTimeout(open, wait * (0.5 + Math.random()));
    wait = Math.min(wait * 2, LAST_WAIT);
  }

  function leave() {
    clearTimeout(timer);
    const left = line;
    line = null;
    left?.drop();
  }

  open();
  return {
    close() {
      closed = true;
      leave();
    },
    reconnect() {
      leave();
      wait = FIRST_WAIT;
      open();
    },
  };
}

// A server that says nothing for so long is gone: it has to ping.
function silence({ pingInterval, pingTimeout }) {
  return pingInterval + pingTimeout;
}

function openWebSocket(origin, { packet, end, makeSocket = (url) => new WebSocket(url) }) {
  const socket = makeSocket(`${origin.replace(/^http/, 'ws')}/socket.io/?EIO=4&transport=websocket`);
  socket.onmessage = ({ data }) => packet(data);
  socket.onclose = end;
  socket.onerror = end;
  return { send: (text) => socket.send(text), close: () => socket.close() };
}

function openPolling(origin, { packet, end, request = (url, init) => fetch(url, init) }) {
  const stop = new AbortController();
  let url = `${origin}/socket.io/?EIO=4&transport=polling`;
  let sending = Promise.resolve();

  const exchange = async (init) => {
    const answer = await request(url, { cache: 'no-store', signal: stop.signal, ...init });
    if (!answer.ok) throw new Error(`polling: ${answer.status}`);
    return answer.text();
  };

  const receive = async () => {
    try {
      while (!stop.signal.aborted) {
        for (const text of (await exchange()).split(SEPARATOR)) {
          if (text[0] === '0') url += `&sid=${encodeURIComponent(JSON.parse(text.slice(1)).sid)}`;
          if (!stop.signal.aborted) packet(text);
        }
      }
    } catch {
      stop.abort();
    }
    end();
  };
  queueMicrotask(receive);

  return {
    send(text) {
      sending = sending.then(() => exchange({ method: 'POST', body: text, headers: { 'content-type': 'text/plain;charset=UTF-8' } }))
        .catch(() => stop.abort());
    },
    close: () => stop.abort(),
  };
}
