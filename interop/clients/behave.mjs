// What a client does, in Node and in a page: it treats each event as the event's name says, and reports what else
// happens to it.
//
//   {"connected": <transport>, "id", "recovered"}, {"disconnected": <reason>}, {"refused": {"message", "data"}}

const pause = () => new Promise((resume) => setTimeout(resume, 1));

// describe is JSON in which binary data shows as what it is: {"bytes": [...]}.
function describe(value) {
  if (value instanceof ArrayBuffer) return { bytes: [...new Uint8Array(value)] };
  if (ArrayBuffer.isView(value)) return { bytes: [...new Uint8Array(value.buffer, value.byteOffset, value.byteLength)] };
  if (Array.isArray(value)) return value.map(describe);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, describe(inner)]));
}

export function open(io, { url, transports, token }, report) {
  const socket = io(url, {
    forceNew: true,
    transports,
    auth: { token },
    reconnectionDelay: 50,
    reconnectionDelayMax: 200,
  });
  const transport = () => socket.io.engine.transport.name;
  socket.on("connect", () => report({ connected: transport(), id: socket.id, recovered: socket.recovered }));
  socket.on("disconnect", (reason) => report({ disconnected: reason }));
  socket.on("connect_error", ({ message, data }) => report({ refused: { message, data } }));

  // Events and acknowledgements, both ways.
  const tell = (...args) => socket.emit("said", describe(args), ...args);
  socket.on("say", tell);
  socket.on("ask", (...args) => socket.emit("echo", ...args, tell));
  socket.on("echo", (...args) => args.pop()(...args));

  // Numbered messages, both ways. The last tenth of those sent waits for the transport to become `last`.
  const received = { next: 0, wrong: [], by: new Set() };
  socket.on("number", (n) => {
    if (n !== received.next) received.wrong.push([received.next, n]);
    received.next = n + 1;
    received.by.add(transport());
  });
  socket.on("received", (ack) => ack({ ...received, by: [...received.by] }));
  socket.on("count", async (to, last) => {
    for (let n = 0; n < to; n++) {
      while (n === 0.9 * to && transport() !== last) await pause();
      socket.emit("number", n);
      if (n % 50 === 49) await pause();
    }
  });

  // What is told to many.
  const news = [];
  socket.on("news", (...args) => news.push(describe(args[0])));
  socket.on("newspaper", (ack) => ack(news));
}
