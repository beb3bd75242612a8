// A Node service that keeps assets with Mongoose. It prints {"ready": true} and then does what lines on its standard
// input say, answering each with {"done": <id>, "value" | "error"}; values are extended JSON, which keeps types.
//
//   node service.mjs <MongoDB URI>
//
//   {"id", "do": "create", "fields"}          →  the new document
//   {"id", "do": "load", "asset"}             →  the document; it stays loaded
//   {"id", "do": "save", "fields", "tag"?}    →  the loaded document, with fields set and a tag pushed
//   {"id", "do": "find", "owner", "status"}   →  {"ids"} of the documents that are so
import { createInterface } from "node:readline";
import mongoose from "mongoose";
import { Asset } from "./asset.mjs";

const { EJSON } = mongoose.mongo.BSON;
const print = (value) => console.log(EJSON.stringify(value, { relaxed: false }));

let loaded;

// whole returns what the model sees, defaults and all, if it is valid.
async function whole(asset) {
  await asset.validate();
  return asset.toObject();
}

const actions = {
  create: async ({ fields }) => whole(await Asset.create(EJSON.deserialize(fields))),
  load: async ({ asset }) => whole((loaded = await Asset.findById(asset).orFail())),
  save: async ({ fields, tag }) => {
    loaded.set(EJSON.deserialize(fields));
    if (tag) loaded.tags.push(tag);
    return whole(await loaded.save());
  },
  find: async ({ owner, status }) => ({ ids: (await Asset.find({ userId: owner, status })).map(({ id }) => id) }),
};

await mongoose.connect(process.argv[2]);
await Asset.init();
print({ ready: true });
for await (const line of createInterface({ input: process.stdin })) {
  const { id, do: action, ...rest } = JSON.parse(line);
  try {
    print({ done: id, value: await actions[action](rest) });
  } catch (error) {
    print({ done: id, error: String(error) });
  }
}
await mongoose.disconnect();
