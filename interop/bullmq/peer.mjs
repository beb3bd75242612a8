// BullMQ of one version, as told over HTTP: whatever a test wants of a queue, of its jobs, workers and listeners.
//
//   node peer.mjs <package> <Redis port>                     prints {"listening": <port>}
//   node peer.mjs <package> <Sentinel port> <master's name>
//
//   POST / {"prefix", "queue", "op", "args"}   →  {"value"} or {"error": <message>}
//   /board/<prefix>/<queue>/                   Bull Board, after op "board"
//
// op is one of those below, the name of a method of Queue, or "job." and that of a member of Job, whose id comes first.
import Module, { createRequire } from "node:module";
import express from "express";
import { Redis } from "ioredis";

const [name, port, master] = process.argv.slice(2);

// Bull Board requires "bullmq", which is to be the very same library.
const resolve = Module._resolveFilename;
Module._resolveFilename = (request, ...rest) => resolve(request === "bullmq" ? name : request, ...rest);
const require = createRequire(import.meta.url);
const bullmq = require("bullmq");
const { createBullBoard } = require("@bull-board/api");
const { BullMQAdapter } = require("@bull-board/api/bullMQAdapter");
const { ExpressAdapter } = require("@bull-board/express");

const server = master ? { name: master, sentinels: [{ host: "127.0.0.1", port }] } : { port };
const connection = new Redis({ ...server, maxRetriesPerRequest: null, retryStrategy: () => 50, sentinelRetryStrategy: () => 50 });
connection.on("error", () => {}); // while Redis is away

const fields = [
  "id", "name", "data", "opts", "timestamp", "processedOn", "finishedOn", "delay", "priority", "attemptsMade", "attemptsStarted",
  "stalledCounter", "failedReason", "stacktrace", "returnvalue", "progress", "deferredFailure", "processedBy", "deduplicationId",
  "repeatJobKey", "parentKey",
];

// plain makes jobs fit for JSON, in lists too.
function plain(value) {
  if (Array.isArray(value)) return value.map(plain);
  return value instanceof bullmq.Job ? Object.fromEntries(fields.map((field) => [field, value[field]])) : value;
}

// A place is a queue with all that was made for it here.
const places = new Map();

function place(prefix, queue) {
  const key = `${prefix}:${queue}`;
  if (!places.has(key)) {
    const options = { connection, prefix };
    places.set(key, { name: queue, options, queue: new bullmq.Queue(queue, options), workers: [], events: [], heard: [], errors: [] });
  }
  return places.get(key);
}

// listener makes a QueueEvents.
async function listener(at, options) {
  const events = new bullmq.QueueEvents(at.name, { ...at.options, ...options });
  at.events.push(events);
  events.on("error", (error) => at.errors.push(error.message));
  await events.waitUntilReady();
  return events;
}

// follow does one step of a script for a job.
async function follow(step, job, token, mine) {
  if ("progress" in step) await job.updateProgress(step.progress);
  for (const line of step.log ?? []) await job.log(line);
  if ("data" in step) await job.updateData(step.data);
  if (step.hang) await new Promise((resume) => mine.held.push(resume));
  if (step.wait) await new Promise((resume) => setTimeout(resume, step.wait));
  if (step.fail) throw new Error(step.fail);
  if (step.unrecoverable) throw new bullmq.UnrecoverableError(step.unrecoverable);
  if (step.delay) {
    await job.moveToDelayed(Date.now() + step.delay, token);
    throw new bullmq.DelayedError();
  }
  if (step.rateLimit) {
    await mine.worker.rateLimit(step.rateLimit);
    throw new bullmq.RateLimitError();
  }
  return step.return;
}

const ops = {
  // work starts a worker. Its script has a list of steps for each name of a job, or for "*": the n-th is for the n-th
  // start of a job, the last for all later ones.
  async work(at, { script = {}, ...options }) {
    const mine = { runs: [], held: [] };
    const handler = async (job, token) => {
      const steps = script[job.name] ?? script["*"] ?? [{}];
      const run = { job: job.id, name: job.name, data: JSON.stringify(job.data), from: Date.now() };
      mine.runs.push(run);
      try {
        return await follow(steps[Math.min(job.attemptsStarted, steps.length) - 1], job, token, mine);
      } finally {
        run.to = Date.now();
      }
    };
    mine.worker = new bullmq.Worker(at.name, handler, { ...at.options, ...options });
    mine.worker.on("error", (error) => at.errors.push(error.message));
    await mine.worker.waitUntilReady();
    return at.workers.push(mine) - 1;
  },
  runs: (at, worker) => at.workers[worker].runs,
  release: (at, worker) => at.workers[worker].held.splice(0).forEach((resume) => resume()),
  closeWorker: (at, worker, force) => at.workers[worker].worker.close(force),
  errors: (at) => at.errors,

  // listen keeps what it hears, as {"id", "event", …}, from behind the id given.
  async listen(at, lastEventId) {
    const events = await listener(at, { lastEventId });
    const emit = events.emit.bind(events);
    events.emit = (event, args, id) => {
      if (typeof id === "string" && !event.includes(":")) at.heard.push({ id, event, ...args });
      if (event === "drained") at.heard.push({ id: args, event });
      return emit(event, args, id);
    };
  },
  heard: (at) => at.heard,
  async publish(at, event) {
    const producer = new bullmq.QueueEventsProducer(at.name, at.options);
    await producer.publishEvent(event);
    await producer.close();
  },
  async waitUntilFinished(at, id, ttl) {
    at.waiter ??= listener(at, { lastEventId: "0-0" }); // from the end, what comes before its first read would be missed
    return (await at.queue.getJob(id)).waitUntilFinished(await at.waiter, ttl);
  },

  // flow adds a tree and returns the ids of its jobs, the root's first, depth first.
  async flow(at, tree) {
    const producer = new bullmq.FlowProducer(at.options);
    const ids = ({ job, children = [] }) => [job.id, ...children.flatMap(ids)];
    const result = ids(await producer.add(tree));
    await producer.close();
    return result;
  },

  board(at) {
    const serverAdapter = new ExpressAdapter();
    const path = `/board/${at.options.prefix}/${at.name}`;
    serverAdapter.setBasePath(path);
    createBullBoard({ queues: [new BullMQAdapter(at.queue)], serverAdapter });
    app.use(path, serverAdapter.getRouter());
    return path;
  },

  async close(at) {
    places.delete(`${at.options.prefix}:${at.name}`);
    await Promise.all(at.workers.map(({ worker }) => worker.close(true)));
    await Promise.all(at.events.map((events) => events.close()));
    await at.queue.close();
  },
};

async function act({ prefix, queue, op, args }) {
  const at = place(prefix, queue);
  if (ops[op]) return ops[op](at, ...args);
  const [, member] = op.match(/^job\.(.*)/) ?? [];
  if (!member) return at.queue[op](...args);
  const job = await at.queue.getJob(args[0]);
  if (!job) throw new Error(`no job ${args[0]}`);
  return typeof job[member] === "function" ? job[member](...args.slice(1)) : job[member];
}

const app = express();
app.use(express.json({ limit: "64mb" }));
app.post("/", async ({ body }, response) => {
  try {
    response.json({ value: plain(await act(body)) ?? null });
  } catch (error) {
    response.json({ error: error.message });
  }
});
const http = app.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ listening: http.address().port })));
