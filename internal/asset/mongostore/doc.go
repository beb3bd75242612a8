// Package mongostore keeps assets in a MongoDB collection that Node services with Mongoose share.
//
// # The documents
//
// The collection is "assets", in the database that the URI names. What the Mongoose schema of such a service has stands
// where that schema has it; the rest of what Loupe knows stands beside a picture's URL, among the metadata, and under
// names that begin with "loupe":
//
//	{
//	  _id: ObjectId("507f1f77bcf86cd799439011"),
//	  userId: ObjectId("507f1f77bcf86cd799439012"), // a string where the id is not 24 hex digits; _id alike
//	  category: "sneaker",
//	  status: "active",
//	  images: {
//	    original: {
//	      url: "https://…/o.jpg", key: "o.jpg", width: 3024, height: 4032, bytes: 2481152,
//	      mimeType: "image/jpeg", sha256: "9f86d0…"
//	    },
//	    processed: {url: "https://…/p.png"}
//	  },
//	  aiMetadata: { // after a failure: error and failedAt
//	    brand: {value: "Nike", confidence: 0.95}, model: {…}, colorway: {…},
//	    processedAt: ISODate("2025-12-28T10:30:04.120Z")
//	  },
//	  processingJobId: "507f1f77bcf86cd799439011-1",
//	  createdAt: ISODate("2025-12-28T10:30:00.000Z"),
//	  updatedAt: ISODate("2025-12-28T10:30:04.120Z"),
//	  loupe: {
//	    run: 1,
//	    details: {brand: "Nike"},       // the owner's own values
//	    duplicateOf: ObjectId("…"),     // an asset with the same photo, absent without one
//	    eventPending: true,             // absent once the event was sent
//	    write: ObjectId("…"),           // names the last Create or Transition
//	    timeline: [{at: ISODate("…"), event: "started", attempt: 1}, …]
//	  },
//	  loupeFinished: [{at: ISODate("…"), event: "finished", attempt: 1, durationMs: 2100, payload: "{…}"}]
//	}
//
// Absent parts are left out. Every change is one findOneAndUpdate with its compare in the filter, which sets and unsets
// the leaves that it means and nothing else: fields that Loupe does not know stay as they are, "__v" among them.
//
// A document that Mongoose made has no "loupe", and reads like this: run 1 (or what processingJobId says), the job id
// "<_id>-<run>" where processingJobId is missing, status draft where that is. Loupe goes on from there. But as nobody has
// submitted an asset without a processingJobId, [Store.Unfinished] leaves it alone: a Node service's drafts are its own.
//
// # The timeline
//
// It is part of the document because the change that ends a run and the event stored with it must be one step, and a
// standalone server has no transaction over two documents. It is bounded: loupe.timeline keeps the last
// [asset.MaxEntries] entries, loupeFinished as many finished runs, which the timeline drops like any other. Reading puts
// those that it has dropped in front. The largest document is a few MB, of the 16 that MongoDB allows.
//
// # The notes
//
// Pictures that may have no asset are noted in a collection beside it, "loupe_image_notes" (see [asset.Ledger]). A user
// whose rights are bounded needs to read and write both.
//
// # Durability
//
// Writes are acknowledged by a majority and journalled, reads go to the primary, whatever the URI says. A write whose
// answer is lost is repeated once: with the driver's retryable writes where the server has them, and anywhere by
// loupe.write, which tells whether the first try was done.
//
// All rests on findOneAndUpdate being atomic. It is in every MongoDB; in FerretDB 1 it is not.
package mongostore
