// Official clients, one socket for each of the choices given. They join their rooms and then print every event as
// {"to": <name>, "got": [event, ...args]}; an event that wants to be acknowledged is so, with their name. Lines on the
// standard input add more.
//
//   {"name", "url", "rooms"}  →  {"joined": <name>}, {"left": <name>, "why": <reason>}
import { io } from "socket.io-client";
import { commands, print } from "./values.mjs";

await commands(({ name, url, rooms }) => {
  const socket = io(url, {
    forceNew: true,
    reconnection: false,
    transports: ["websocket"],
    auth: { token: "secret" },
    extraHeaders: { Authorization: "secret", Cookie: "secret" },
  });
  socket.on("connect", () => socket.emit("join", rooms, () => print({ joined: name })));
  socket.on("connect_error", (error) => print({ failed: name, why: String(error) }));
  socket.on("disconnect", (why) => print({ left: name, why }));
  socket.onAny((...got) => {
    if (typeof got.at(-1) === "function") got.pop()({ name, bytes: Buffer.from(name) });
    print({ to: name, got });
  });
});
