// Clients in Node. Each line on the standard input opens one; each printed line tells what has happened to one.
//
//   {"name", "url", "page", "transports", "token"}  →  {"name", ...}: behave.mjs says which
import { createInterface } from "node:readline";
import { io } from "socket.io-client";
import { open } from "./behave.mjs";

for await (const line of createInterface({ input: process.stdin })) {
  const { name, ...options } = JSON.parse(line); // the page is for browsers
  open(io, options, (what) => console.log(JSON.stringify({ name, ...what })));
}
