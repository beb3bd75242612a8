// All scenarios, by the names by which web_test.go calls them.
export * from './paths.mjs';
export * from './connection.mjs';
export * from './reading.mjs';
export * from './safety.mjs';
export * from './many.mjs';
export * from './console.mjs';
