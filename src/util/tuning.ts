/**
 * Constants that were tuned by measurement, with the measurement. They are no settings: the right value depends on the
 * program, not on the installation. Measure with `scripts/bench` before you change one.
 */

const KiB = 1024;

/**
 * Micro-batching of `POST /api/authorize` (`http/routes/micro-batching.ts`). On an Intel Xeon a batch saves a fifth of
 * the time of each query, with 16 and with 64 connections.
 */
export const microBatching = {
  /** The largest batch. Larger ones save hardly more, and a query would wait for more requests to be read. */
  queriesMax: 8,
  /** Batching pauses after so many turns of the event loop with one query each: an isolated query does not wait. */
  singleQueryTurns: 4,
  /** While batching pauses, after so many queries one turn is observed for further queries. */
  queriesBetweenObservations: 16,
} as const;

/**
 * A request body up to this size is read in one piece and not counted in the budget of bytes: nearly all bodies are
 * that small, and each further step takes a tenth of the time of a request.
 */
export const smallBodyBytes = 8 * KiB;

/** The serving thread parses bodies up to this size, in 2 ms at most whatever they contain, another thread the rest. */
export const servingThreadBodyBytes = 64 * KiB;

/** A longer parsed question returns to the serving thread as JSON, because reading it would block the thread. */
export const servingThreadQuestionCharacters = 64 * KiB;

/** Shorter responses fit into the buffers of a connection; longer ones are sent in chunks of this size. */
export const responseChunkBytes = 64 * KiB;

/** The bytes that a response in parts can hold: a waiting part, as a string and as bytes, and a chunk being sent. */
export const chunkedResponseBytes = 512 * KiB;

/** After a notification event streams pause for this time per open stream, which bounds their share of the thread. */
export const pauseMsPerEventStream = 0.25;
