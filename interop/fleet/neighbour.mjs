// A Node service beside Loupe: on the same queue with BullMQ, in the same collection with Mongoose, in the same rooms with
// the Redis emitter. It prints {"ready": true} and then does what lines on its standard input say, answering each with
// {"done": <id>, "value" | "error"}.
//
//   node neighbour.mjs <BullMQ package> <Redis port> <MongoDB URI>
//
//   {"id", "do", …}, where do is one of the actions below
import Module, { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { Emitter } from "@socket.io/redis-emitter";
import express from "express";
import { Redis } from "ioredis";
import mongoose from "mongoose";
import { Asset } from "../mongoose/asset.mjs";

const [name, port, uri] = process.argv.slice(2);

// Bull Board requires "bullmq", which is to be the very same library.
const resolve = Module._resolveFilename;
Module._resolveFilename = (request, ...rest) => resolve(request === "bullmq" ? name : request, ...rest);
const require = createRequire(import.meta.url);
const { Queue, UnrecoverableError, Worker } = require("bullmq");
const { createBullBoard } = require("@bull-board/api");
const { BullMQAdapter } = require("@bull-board/api/bullMQAdapter");
const { ExpressAdapter } = require("@bull-board/express");

const connection = new Redis(Number(port), { maxRetriesPerRequest: null });
const queue = new Queue("ai-processing", { connection });
const emitter = new Emitter(connection);
const took = [];

const dataOf = ({ id, userId, category, images }) => ({
  assetId: id,
  userId: String(userId),
  imageUrl: images.original.url,
  category,
  createdAt: new Date().toISOString(),
});

// What a worker does with a job. The research's first does the record, then the room; the others do that only once.
const ways = {
  research: async ({ data: { assetId, userId } }) => {
    await new Promise((done) => setTimeout(done, 5));
    const aiMetadata = { brand: { value: "Node", confidence: 1 }, model: { value: "neighbour", confidence: 0.5 } };
    await Asset.updateOne({ _id: assetId }, { status: "active", aiMetadata });
    tell(userId, { assetId, status: "active", aiMetadata });
  },
  fails: async ({ data: { assetId, userId } }, worker) => {
    await worker.pause(true);
    await Asset.updateOne({ _id: assetId }, { status: "failed", "aiMetadata.error": "Node could not" });
    tell(userId, { assetId, status: "failed", error: "Node could not" });
    throw new UnrecoverableError("Node could not");
  },
  forgets: (job, worker) => worker.pause(true),
};

const tell = (userId, fields) =>
  emitter.to(`user:${userId}`).emit("asset_processed", { event: "asset_processed", ...fields, timestamp: new Date().toISOString() });

// Bull Board's address.
const board = new Promise((done) => {
  const serverAdapter = new ExpressAdapter();
  createBullBoard({ queues: [new BullMQAdapter(queue)], serverAdapter });
  const server = express().use(serverAdapter.getRouter()).listen(0, "127.0.0.1", () => done(`http://127.0.0.1:${server.address().port}`));
});

const actions = {
  // An asset, and what it looks like here.
  create: async ({ fields }) => (await Asset.create(fields)).id,
  asset: async ({ asset }) => (await Asset.findById(asset).orFail()).toObject(),

  // A job for an asset, with data that is its own but for changes; and the note of it in the asset, which comes after.
  add: async ({ asset, change, opts }) => (await queue.add("process-asset", { ...dataOf(await Asset.findById(asset).orFail()), ...change }, opts)).id,
  note: async ({ asset, job }) => void (await (await Asset.findById(asset).orFail()).set({ processingJobId: job }).save()),
  job: async ({ job: id }) => {
    const state = await queue.getJobState(id); // first, so that the rest is at least as new
    const job = await queue.getJob(id);
    return { state, failedReason: job.failedReason ?? "", attemptsMade: job.attemptsMade };
  },
  pause: () => queue.pause(),
  resume: () => queue.resume(),

  work: async ({ way }) => {
    const worker = new Worker(queue.name, (job) => (took.push(job.id), ways[way](job, worker)), { connection, concurrency: 5 });
    await worker.waitUntilReady();
  },
  took: () => took,

  board: () => board,
};

const print = (line) => console.log(JSON.stringify(line));
await mongoose.connect(uri);
await Asset.init();
print({ ready: true });
for await (const line of createInterface({ input: process.stdin })) {
  const { id, do: action, ...rest } = JSON.parse(line);
  try {
    print({ done: id, value: (await actions[action](rest)) ?? null });
  } catch (error) {
    print({ done: id, error: String(error) });
  }
}
