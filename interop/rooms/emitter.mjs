// The Redis emitter. It does what lines on its standard input say, answering each with {"done": <id>}.
//
//   node emitter.mjs <Redis port>
//
//   {"id", "do", "rooms"?, "except"?, "args"?}, where do is emit, join, leave, disconnect or serverSideEmit
import { Emitter } from "@socket.io/redis-emitter";
import { Redis } from "ioredis";
import { choose, commands, print } from "./values.mjs";

const client = new Redis(Number(process.argv[2]), { retryStrategy: () => 50 });
client.on("error", () => {}); // while Redis is away
const emitter = new Emitter(client);

const actions = {
  emit: ({ args, ...choice }) => choose(emitter, choice).emit(...args),
  join: ({ args, ...choice }) => choose(emitter, choice).socketsJoin(args),
  leave: ({ args, ...choice }) => choose(emitter, choice).socketsLeave(args),
  disconnect: (choice) => choose(emitter, choice).disconnectSockets(),
  serverSideEmit: ({ args }) => emitter.serverSideEmit(...args),
};

await commands(({ id, do: action, ...rest }) => {
  actions[action](rest);
  print({ done: id });
});
