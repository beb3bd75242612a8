// A small Socket.IO client over WebSocket: connect with a token, receive events, come back after a loss.
// Packets: https://github.com/socketio/socket.io-protocol

export function connect({ token, onState, onEvent, onRefused }) {
  let wait = 500;
  let since = new Date().toISOString();

  function open() {
    const socket = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/socket.io/?EIO=4&transport=websocket`);
    let silence;
    const listen = ({ pingInterval, pingTimeout }) => {
      clearTimeout(silence);
      silence = setTimeout(() => socket.close(), pingInterval + pingTimeout);
    };
    let timing;
    socket.onmessage = async ({ data }) => {
      const type = data.slice(0, data[0] === '4' ? 2 : 1);
      const body = data.slice(type.length);
      if (type === '0') {
        timing = JSON.parse(body);
        socket.send(`40${JSON.stringify({ token: token(), since })}`);
      } else if (type === '2') {
        socket.send('3');
      } else if (type === '40') {
        wait = 500;
        onState('Live');
      } else if (type === '44') {
        await onRefused(JSON.parse(body));
        socket.close();
      } else if (type === '42') {
        const [name, event] = JSON.parse(body);
        if (name === 'asset_processed') since = event.timestamp;
        onEvent(name, event);
      }
      listen(timing);
    };
    socket.onclose = () => {
      clearTimeout(silence);
      onState('Reconnecting…');
      setTimeout(open, wait * (0.5 + Math.random()));
      wait = Math.min(wait * 2, 10_000);
    };
  }
  open();
}
