// A Node server with the Redis adapter. It prints {"listening": <port>} and then does what lines on its standard input
// say, answering each with {"done": <id>, "value" | "error"}.
//
//   node server.mjs <Redis port> ioredis|redis
//
//   {"id", "do", "rooms"?, "except"?, "args"?}, where do is emit, emitWithAck, join, leave, disconnect, fetchSockets,
//   allRooms, serverSideEmit or serverSideEmitWithAck
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { Redis } from "ioredis";
import { createClient } from "redis";
import { Server } from "socket.io";
import { choose, commands, print } from "./values.mjs";

const [port, library] = process.argv.slice(2);

async function connect() {
  const client = library === "redis" ? createClient({ url: `redis://127.0.0.1:${port}` }) : new Redis(Number(port), { retryStrategy: () => 50 });
  client.on("error", () => {}); // while Redis is away; both libraries come back by themselves
  if (library === "redis") await client.connect();
  return client;
}

const http = createServer();
const io = new Server(http, { adapter: createAdapter(await connect(), await connect(), { requestsTimeout: 20_000 }) });
io.on("connection", (socket) => {
  socket.data.from = "node";
  socket.on("join", (rooms, done) => {
    socket.join(rooms);
    done();
  });
});
io.on("sum", (a, b, done) => done(a + b));
io.on("told", (...args) => print({ told: args }));

const actions = {
  emit: ({ args, ...choice }) => void choose(io, choice).emit(...args),
  emitWithAck: ({ args, ...choice }) => choose(io, choice).timeout(20_000).emitWithAck(...args),
  join: ({ args, ...choice }) => choose(io, choice).socketsJoin(args),
  leave: ({ args, ...choice }) => choose(io, choice).socketsLeave(args),
  disconnect: (choice) => choose(io, choice).disconnectSockets(),
  fetchSockets: async (choice) =>
    (await choose(io, choice).fetchSockets()).map(({ id, rooms, data, handshake }) => ({ id, rooms: [...rooms], data, handshake })),
  allRooms: async () => [...(await io.of("/").adapter.allRooms())],
  serverSideEmit: ({ args }) => void io.serverSideEmit(...args),
  serverSideEmitWithAck: ({ args }) => io.serverSideEmitWithAck(...args),
};

http.listen(0, "127.0.0.1", () => print({ listening: http.address().port }));
await commands(async ({ id, do: action, ...rest }) => {
  try {
    print({ done: id, value: (await actions[action](rest)) ?? null });
  } catch (error) {
    print({ done: id, error: String(error) });
  }
});
