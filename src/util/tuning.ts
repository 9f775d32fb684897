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
  /**
   * Batching pauses after so many turns of the event loop with a single query each, so that an isolated query does not
   * wait.
   */
  singleQueryTurns: 4,
  /** While batching pauses, after so many queries one turn is observed for further queries. */
  queriesBetweenObservations: 16,
} as const;

/**
 * A request body up to this size is read in one piece and not counted in the budget of bytes: nearly all bodies are
 * that small, and each further step takes a tenth of the time of a request.
 */
export const smallBodyBytes = 8 * KiB;

/**
 * The serving thread parses bodies up to this size, which takes it 1 or 2 ms at most, whatever they contain. Larger
 * ones are parsed on another thread.
 */
export const servingThreadBodyBytes = 64 * KiB;

/**
 * A parsed question up to this length returns to the serving thread as a value. A longer one stays JSON, because
 * reading it would block the thread.
 */
export const servingThreadQuestionCharacters = 64 * KiB;

/**
 * A response up to this length is sent in one piece: it fits into the buffers of a connection. Longer ones are sent in
 * chunks of this size.
 */
export const responseChunkBytes = 64 * KiB;

/**
 * The length of one part of an answer that a worker process makes. The cost of a part does not matter at this length,
 * and a few parts need little memory.
 */
export const answerPartCharacters = 128 * KiB;

/**
 * The bytes that a response in parts can hold: a part that waits, as a string and as bytes, and a chunk that is being
 * sent.
 */
export const chunkedResponseBytes = 512 * KiB;

/**
 * After a notification all event streams pause for this time per open stream. The pause bounds the share of the serving
 * thread that they can use.
 */
export const pauseMsPerEventStream = 0.25;

/**
 * How long a read snapshot stays open without a query. To take SQLite's read lock and read which state it protects costs
 * as much as five lookups. While it is open, SQLite cannot checkpoint newer pages of the write-ahead log into the file.
 */
export const readSnapshotHoldMs = 10;
