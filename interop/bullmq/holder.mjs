// A worker of BullMQ's own that takes a job and does not let go of it. It says "holds" when it has one.
//
//   node bullmq/holder.mjs <port of Redis> <queue> <name>
import { Worker } from "bullmq-5.66";

const [port, queue, name] = process.argv.slice(2);
new Worker(queue, () => new Promise(() => console.log("holds")), { name, connection: { host: "127.0.0.1", port: Number(port) } });
