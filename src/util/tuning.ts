/**
 * Constants that were tuned by measurement, with the measurement. They are no settings: the right value depends on the
 * program, not on the installation. Measure with `scripts/bench` before you change one.
 */

const KiB = 1024;

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

/**
 * The length of one part of an answer that a worker process makes. The cost of a part does not matter at this length,
 * and a few parts need little memory.
 */
export const answerPartCharacters = 128 * KiB;

/** A longer list of ids comes from a worker process in pieces of this size, each of which takes some 0.3 ms to receive. */
export const answerPieceBytes = 1024 * KiB;

/** The bytes that a response in parts can hold: a waiting part, as a string and as bytes, and a chunk being sent. */
export const chunkedResponseBytes = 512 * KiB;

/**
 * How many messages a publisher has in flight at a broker. With more, brokers with default limits lose messages even for
 * healthy subscribers: they lose some with 100 in flight and none with 8.
 */
export const brokerWindowMax = 8;

/** A second thread checks databases of this size or more. It takes longer to start than the check of a smaller one. */
export const secondCheckThreadBytes = 8 * 1024 * KiB;

/** Either thread may check a table of so many rows, which takes 100 ms. Smaller tables are checked together. */
export const separatelyCheckedRowsMin = 100_000;

/** After a notification event streams pause for this time per open stream, which bounds their share of the thread. */
export const pauseMsPerEventStream = 0.25;

/** Filling a closure from so many starts takes about 10 ms if each reaches a few dozen rows. */
export const closureStartsPerStatement = 64;

/**
 * The facts or queries in the generated TypeScript types. The type checker compares a call with every one: 500 take
 * TypeScript 5 three seconds, and about ten thousand exceed its limits.
 */
export const clientTypeTuplesMax = 200;

/** The combinations of types for one fact pattern. Planning and running a query for each of so many takes a second. */
export const patternTypingsMax = 1000;

/** The level packs 100 MB of a database in 0.3 s. Level 3 takes 0.45 s and makes files that are 4 % smaller to 2 % larger. */
export const zstandardLevel = 2;

/** Files are read and packed in pieces: with the usual 64 KiB, passing them on takes as long as compressing them. */
export const filePieceBytes = 1024 * KiB;

/** The warm-up of the symbol cache reads so many symbols at each step: about a third of a millisecond. */
export const warmUpSymbolsPerStep = 200;

/** So many questions are planned in a process before they are asked. A plan takes one to five milliseconds, and 50 kB. */
export const expectedQuestionsMax = 500;

/**
 * How often a worker process measures its memory. A process that allocates as fast as it can takes some 100 MB in this
 * time.
 */
export const memoryMeasureIntervalMs = 50;

/**
 * Checks of the number of connections (`roles/connection-limit.ts`). A check of the descriptors takes 10 µs in a busy
 * thread and 0.2 ms in an idle one, and a count of ten thousand connections some 10 ms. An attacker opens some thousand
 * connections a second; the next check comes before `openedPerSecondMax` of them could reach the limit.
 */
export const connectionChecks = {
  intervalMsMin: 25,
  intervalMsMax: 250,
  openedPerSecondMax: 20_000,
  countIntervalMs: 5000,
  addressCountIntervalMs: 1000,
  /** Above the limit a node closes a tenth more than it must, so that the next connection does not cost a count again. */
  closeDownTo: 0.9,
} as const;

/**
 * Choices of the query planner (`src/datalog`) between a lookup and a scan: numbers of rows by table statistics. The
 * times are of one decision over a million facts, in process.
 */
export const planning = {
  /**
   * A source with so few rows that another clause has too comes first, so that both share it: lookups for these rows
   * take no longer than the shared one. With `filteredRowsMax`: 20.4 to 14.0 µs.
   */
  sharedRowsMax: 4,
  /**
   * One lookup that filters the rows replaces one for each constant of a list if it passes at most so many others. That
   * takes as long as the two lookups that it saves for three constants. Where an actor has 10,000 other roles, a list
   * takes 0.1 ms with this bound, and 3 ms without.
   */
  filteredRowsMax: 16,
  /** A scan of so many rows takes no longer than a lookup of one row: a closure is reflexive then. 12.4 to 11.8 µs. */
  scannedRowsMax: 32,
} as const;

/**
 * The planner scans so few signatures of a predicate, and uses an index for more. With the index, the check of 10,000
 * rules takes a second instead of a minute.
 */
export const indexedSignaturesMin = 16;

/**
 * How long a read snapshot stays open without a query. To take SQLite's read lock and read which state it protects costs
 * as much as five lookups. While it is open, SQLite cannot checkpoint newer pages of the write-ahead log into the file.
 */
export const readSnapshotHoldMs = 10;

/**
 * A page of facts ends after so many rows of fact tables and names of the symbol table. The serving thread examines them
 * in about 10 ms.
 */
export const factPageRowsExamined = 20_000;

/** A part of a fact table with at most so many rows is sorted as a whole for each page. */
export const factPageRowsSorted = 2000;

/**
 * The serving thread parses data bindings of so many characters itself, in a few ms. A worker process parses larger ones,
 * and hands the result over: the parser takes up to 700 ms for 64 KiB.
 */
export const servingThreadBindingsCharacters = 8192;

/**
 * How many data bindings stay parsed, each with its part of the plan cache. An application has one text, and a client
 * that sends many others must not fill the memory.
 */
export const parsedBindingsMax = 10;
