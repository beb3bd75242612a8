// The server under measurement, in Node: the same as ../go/main.go.
import { createServer } from "node:http";
import jwt from "jsonwebtoken";
import { Server } from "socket.io";

const secret = process.env.JWT_SECRET;
const payload = JSON.parse(process.env.PAYLOAD);

const http = createServer((request, response) => {
  const query = new URL(request.url, "http://localhost").searchParams;
  const [events, rooms, rate] = ["events", "rooms", "rate"].map((name) => Number(query.get(name)));
  emit(events, rooms, rate);
  response.end();
});
const io = new Server(http, { serveClient: false });
io.use((socket, next) => {
  try {
    socket.data.user = jwt.verify(socket.handshake.auth.token, secret, { algorithms: ["HS256"] }).sub;
    next();
  } catch {
    next(new Error("Invalid token"));
  }
});
io.on("connection", (socket) => {
  socket.join("user:" + socket.data.user);
});

// emit emits to one room after the other: so many a second, or as fast as it goes, in portions that leave the event loop
// time to write.
function emit(events, rooms, rate) {
  const start = performance.now();
  let n = 0;
  const portion = () => {
    const due = rate ? Math.min(events, ((performance.now() - start) * rate) / 1000) : Math.min(events, n + 100);
    for (; n < due; n++) io.to("user:" + (n % rooms)).emit("asset_processed", payload);
    if (n < events) rate ? setTimeout(portion, 10) : setImmediate(portion);
  };
  portion();
}

http.listen(0, "127.0.0.1", () => console.log(`listening on ${http.address().port}`));
