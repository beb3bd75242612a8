// A Socket.IO server of the kind that Loupe takes the place of: it verifies a token, joins the user's room, and shares
// rooms over Redis. It prints {"listening": <port>}.
//
//   node server.mjs <secret> <Redis host:port>…     several are nodes of a Redis Cluster
import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { Cluster, Redis } from "ioredis";
import { Server } from "socket.io";

const [secret, ...addresses] = process.argv.slice(2);
const nodes = addresses.map((address) => new URL(`redis://${address}`)).map(({ hostname, port }) => ({ host: hostname, port: Number(port) }));
const connect = () => (nodes.length > 1 ? new Cluster(nodes) : new Redis(nodes[0]));

function userOf(token) {
  const [head, claims, signature] = token.split(".");
  if (createHmac("sha256", secret).update(`${head}.${claims}`).digest("base64url") !== signature) throw new Error("Invalid token");
  return JSON.parse(Buffer.from(claims, "base64url")).sub;
}

const http = createServer();
const io = new Server(http, { adapter: createAdapter(connect(), connect()) });
io.use((socket, next) => {
  try {
    socket.userId = userOf(socket.handshake.auth.token);
    next();
  } catch (error) {
    next(error);
  }
});
io.on("connection", (socket) => socket.join(`user:${socket.userId}`));
http.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ listening: http.address().port })));
