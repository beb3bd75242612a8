// An app of one user with the official client. It signs in, then does what it is told by lines on its standard input
// and prints a line of JSON for everything that happens.
//
//   node client.mjs '{"url", "transport": "websocket" | "polling", "token", "since"?}'
//
//   {"upload": <file>, "category": <category>}  →  {"answer": {"status", "body"}}
//                                                  {"connected": <transport>}, {"disconnected": <reason>}, {"refused": {"message", "data"}}
//                                                  {"event": <name>, "data": <payload>, "faults": null | [...]}
//
// faults says how an asset_processed breaks its schema.
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import Ajv from "ajv";
import addFormats from "ajv-formats";
import { io } from "socket.io-client";

const { url, transport, token, since } = JSON.parse(process.argv[2]);

const schema = JSON.parse(await readFile(new URL("../asset-processed.schema.json", import.meta.url)));
const validate = addFormats(new Ajv({ allErrors: true })).compile(schema);

const print = (line) => console.log(JSON.stringify(line));

let last = since; // the timestamp of the last event seen, as an app would keep it
const socket = io(url, {
  transports: [transport],
  auth: (give) => give({ token, since: last }),
  reconnectionDelay: 50,
  reconnectionDelayMax: 200,
});
socket.on("connect", () => print({ connected: socket.io.engine.transport.name }));
socket.on("disconnect", (reason) => print({ disconnected: reason }));
socket.on("connect_error", ({ message, data }) => print({ refused: { message, data } }));
socket.onAny((event, data) => {
  const faults = event === "asset_processed" && !validate(data) ? validate.errors : null;
  if (event === "asset_processed") last = data.timestamp;
  print({ event, data, faults });
});

for await (const line of createInterface({ input: process.stdin })) {
  const { upload, category } = JSON.parse(line);
  const body = new FormData();
  body.append("category", category);
  body.append("image", new Blob([await readFile(upload)], { type: "image/png" }), "photo.png");
  const answer = await fetch(`${url}/api/assets/analyze-queue`, {
    method: "POST",
    headers: { Authorization: `Bearer ${token}` },
    body,
  });
  print({ answer: { status: answer.status, body: await answer.json() } });
}
