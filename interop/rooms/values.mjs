// Values on their way to and from the tests: lines of JSON in which {"$binary": <base64>} is a Buffer.
import { createInterface } from "node:readline";

export const print = (line) => console.log(JSON.stringify(line, fromBuffer));

// A Buffer has a toJSON of its own, which has run before; its result has this form.
function fromBuffer(_, value) {
  return value?.type === "Buffer" ? { $binary: Buffer.from(value.data).toString("base64") } : value;
}

// commands calls do(command) for each line of the standard input.
export async function commands(run) {
  for await (const line of createInterface({ input: process.stdin })) {
    run(JSON.parse(line, (_, value) => (value?.$binary === undefined ? value : Buffer.from(value.$binary, "base64"))));
  }
}

// choose applies a choice of sockets to a server or an emitter.
export function choose(from, { rooms = [], except = [], volatile = false }) {
  for (const room of rooms) from = from.to(room);
  for (const room of except) from = from.except(room);
  return volatile ? from.volatile : from;
}
