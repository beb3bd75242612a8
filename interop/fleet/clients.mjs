// Official clients, one for each line {"name", "url", "token", "since"} of the standard input. Each prints
// {"connected": <name>} whenever it is, and {"to": <name>, "event": <JSON>} for an asset_processed; it comes back by
// itself, and says since when it was away.
import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const print = (line) => console.log(JSON.stringify(line));

for await (const line of createInterface({ input: process.stdin })) {
  let { name, url, token, since } = JSON.parse(line);
  const socket = io(url, {
    forceNew: true,
    transports: ["websocket"],
    auth: (give) => give({ token, since }),
    reconnectionDelay: 50,
    reconnectionDelayMax: 200,
  });
  socket.on("connect", () => print({ connected: name }));
  socket.on("asset_processed", (event) => {
    since = event.timestamp;
    print({ to: name, event: JSON.stringify(event) });
  });
}
