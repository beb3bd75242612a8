// BullMQ for Node under measurement: it takes the same orders as the peers in Go, see ../queuepeer/queuepeer.go. Its
// arguments are the name of the package, of one version, and the address of Redis.
import { createInterface } from "node:readline";

const [name, address] = process.argv.slice(2);
const { Queue, Worker } = (await import(name)).default;
const [host, port] = address.split(":");
const connection = { host, port: Number(port), maxRetriesPerRequest: null };

const defaultJobOptions = {
  attempts: 3,
  backoff: { type: "exponential", delay: 2000 },
  removeOnComplete: { age: 86_400 },
  removeOnFail: { age: 604_800 },
};

function newJob(number) {
  const assetId = "507f1f77" + number.toString(16).padStart(16, "0");
  return {
    assetId,
    userId: "507f1f77bcf86cd799439012",
    imageUrl: `https://images.example/assets/${assetId}/original.jpg`,
    category: "sneaker",
    createdAt: "2025-12-28T10:30:00.000Z",
  };
}

const now = () => Number(process.hrtime.bigint()) / 1e6;
const wall = () => performance.timeOrigin + performance.now();
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function producing(order, work) {
  const q = new Queue(order.Queue, { connection, defaultJobOptions });
  await q.waitUntilReady();
  await work((data, options) => q.add("process-asset", data, { jobId: data.assetId + "-1", ...options }));
  await q.close();
}

const orders = {
  async add(order) {
    let seconds;
    await producing(order, async (add) => {
      let n = 0;
      const producer = async () => {
        while (n < order.Jobs) await add(newJob(order.From + ++n));
      };
      const begin = now();
      await Promise.all(Array.from({ length: order.Producers }, producer));
      seconds = (now() - begin) / 1000;
    });
    return { Jobs: order.Jobs, Seconds: seconds };
  },

  async process(order) {
    let started = 0;
    let worker;
    const begin = now();
    await new Promise((resolve) => {
      worker = new Worker(order.Queue, async () => void (++started === order.Jobs && resolve()), {
        connection,
        concurrency: order.Concurrency,
      });
    });
    const seconds = (now() - begin) / 1000;
    await worker.close();
    return { Jobs: started, Seconds: seconds };
  },

  async work(order) {
    samples = [];
    sampler = new Worker(
      order.Queue,
      async ({ data }) => {
        samples.push(data.due ? wall() - data.due : now() - data.sent);
        enough();
      },
      { connection, concurrency: order.Concurrency },
    );
    await sampler.waitUntilReady();
  },

  async trickle(order) {
    await producing(order, async (add) => {
      for (let n = 0; n < order.Jobs; n++) {
        await sleep((0.5 + Math.random()) * order.Millis);
        await add({ ...newJob(order.From + n), sent: now() });
      }
    });
  },

  async delay(order) {
    await producing(order, async (add) => {
      for (let n = 0; n < order.Jobs; n++) {
        const timestamp = Date.now();
        const delay = Math.floor(500 + Math.random() * order.Millis);
        await add({ ...newJob(order.From + n), due: timestamp + delay }, { timestamp, delay });
      }
    });
  },

  async samples(order) {
    await new Promise((resolve) => {
      enough = () => samples.length >= order.Jobs && resolve();
      enough();
    });
    await sampler.close();
    return { Samples: samples };
  },
};

let sampler; // the worker that takes samples
let samples; // how late its jobs started, in ms
let enough = () => {};

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  const before = process.cpuUsage();
  let answer;
  try {
    answer = (await orders[order.Do](order)) ?? {};
  } catch (error) {
    answer = { Error: String(error) };
  }
  const { user, system } = process.cpuUsage(before);
  console.log(JSON.stringify({ CPU: user + system, ...answer }));
}
process.exit();
