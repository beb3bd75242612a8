// The asset model of a Node service: the seed's schema, and some fields that such a service may have grown since.
import mongoose from "mongoose";

const recognised = { value: String, confidence: Number };

const schema = new mongoose.Schema(
  {
    userId: { type: mongoose.Schema.Types.ObjectId, required: true, index: true },
    category: { type: String, enum: ["sneaker", "lego", "camera", "other"], required: true },
    status: { type: String, enum: ["draft", "processing", "partial", "active", "archived", "failed"], default: "draft" },
    images: { original: { url: { type: String, required: true } }, processed: { url: String } },
    aiMetadata: { brand: recognised, model: recognised, colorway: recognised, error: String },
    processingJobId: String,

    tags: [String],
    receipt: Buffer,
    notes: mongoose.Schema.Types.Mixed,
  },
  { timestamps: true },
);

export const Asset = mongoose.model("Asset", schema);
