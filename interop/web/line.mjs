// A way to the server, by HTTP, that a scenario can disturb.
import { createServer, request as ask } from 'node:http';
import { connect } from 'node:net';

/**
 * lay(world, disturb) returns the url of a way to the world's server that ends with the scenario. disturb(request) is asked
 * about every request: "refuse" breaks the connection, "swallow" lets the server do its work and breaks it then; a promise
 * holds the request back until it has resolved, to one of these or to anything else. cut() breaks what is connected by
 * WebSocket.
 */
export async function lay(world, disturb = () => '') {
  const target = new URL(world.url);
  const tunnels = new Set();
  const server = createServer(async (request, response) => {
    const how = await disturb(request);
    if (how === 'refuse') {
      request.socket.destroy();
      return;
    }
    const onward = ask({ host: target.hostname, port: target.port, method: request.method, path: request.url, headers: { ...request.headers, host: target.host, origin: target.origin } }, (answer) => {
      if (how === 'swallow') {
        answer.resume();
        answer.on('end', () => request.socket.destroy());
        return;
      }
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    request.pipe(onward);
  });
  server.on('upgrade', async (request, socket, head) => {
    socket.on('error', () => {});
    if (await disturb(request) === 'refuse') {
      socket.destroy();
      return;
    }
    const onward = connect(target.port, target.hostname);
    onward.on('error', () => socket.destroy());
    const lines = Object.entries({ ...request.headers, host: target.host, origin: target.origin }).map(([name, value]) => `${name}: ${value}`);
    onward.write(`${request.method} ${request.url} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
    onward.write(head);
    socket.pipe(onward).pipe(socket);
    tunnels.add(socket);
    for (const end of [socket, onward]) end.on('close', () => { tunnels.delete(socket); socket.destroy(); onward.destroy(); });
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const cut = () => tunnels.forEach((socket) => socket.destroy());
  world.onEnd(() => {
    cut();
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}`, cut };
}
