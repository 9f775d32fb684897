/**
 * Every limit, with its unit in its name. Numbers published for Oso Cloud are kept where clients may rely on them; the rest was measured.
 * Functions that are bounded take what they need of this as an argument, so that a test can set it low.
 */
import { z } from "zod";
import { bytes, duration, formatBytes, formatDuration, integer, settingInfo } from "./setting-types.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
const day = 86_400_000;
const GiB = 1024 * MiB;

const limitShape = {
  // Requests
  writeBodyBytesMax: size(960 * KiB, "The largest body of a write: a batch, a policy"),
  readBodyBytesMax: size(10 * MiB, "The largest body of a question"),
  batchEntriesMax: count(1000, "The most entries (inserted facts and delete patterns) of one batch"),
  contextFactsMax: count(100, "The most context facts of one question"),
  queryCallsMax: count(100, "The most calls of one question of the query builder"),
  queryVariablesMax: count(1000, "The most variables of one question of the query builder, and of one call in it"),
  queryIdsMax: count(100_000, "The most ids that one variable of a question of the query builder may be restricted to"),
  wildcardDeleteFactsMax: count(10_000, "The most facts that one delete pattern may remove"),
  identifierBytesMax: size(512, "The longest type, id or predicate name in a fact or a question"),
  listPageEntriesMax: count(10_000, "The most entries of one page of a list"),
  listCursorsMax: count(
    1000,
    "The most lists kept as they were when their first page was given, so that the others fit to it whatever is written meanwhile; 0 keeps none",
    0,
  ),
  listCursorsBytesMax: size(64 * MiB, "The most bytes that all kept lists may take together; the oldest go first"),
  listCursorTtlMs: time(300_000, "How long a list is kept after its first page"),
  listCursorFinishedTtlMs: time(2000, "How long it is kept after its last page, in case that must be sent again"),
  connectionsMax: count(
    10_000,
    "The most TCP connections to the API's port; fewer where the process may not open that many files. Above it, those that never got an answer are closed first, then those that are silent for longest",
  ),
  connectionsPerAddressMax: count(
    0,
    "The most TCP connections to the API's port from one client address (an IPv4 address, a /64 of IPv6) that is not in `trustedProxies`; 0 for no limit",
    0,
  ),
  bodyTimeoutMs: time(
    10_000,
    "How long the body of a request may take to arrive, however small it is; larger ones get more time, see `bodyBytesPerSecondMin`",
  ),
  bodyBytesPerSecondMin: size(
    16 * KiB,
    "How fast the rest of a body that takes longer than `bodyTimeoutMs` must arrive, on average; slower ones are answered with 408",
  ),
  keyLookupsPerSecondMax: count(
    20,
    "How many API keys that an edge does not know it looks up at the primary in a second, before it takes the body of a write",
  ),
  requestsInFlightMax: count(
    10_000,
    "The most requests that are worked on or wait at the same time; more are answered with 503",
  ),
  bufferedBytesMax: size(
    256 * MiB,
    "The most bytes of request bodies and unsent responses that a node holds in memory at a time; more requests are answered with 503",
  ),
  bufferedNodeBytesReserved: size(32 * MiB, "The part of `bufferedBytesMax` that only other nodes may use"),
  largeResponsesMax: count(
    16,
    "The most answers at a time that are made in parts while the client reads; a key that holds as many places as are free gets 429",
  ),
  largeResponseTimeMsMax: time(300_000, "The longest time that a client may take to read such an answer"),
  responseStallMs: time(10_000, "A large response is ended where the client takes nothing of it for this time"),
  apiKeysMax: count(128, "The most API keys of an environment"),
  stopGraceMs: time(10_000, "How long requests in flight may go on after a stop was asked for"),
  logLineBytesMax: size(8 * KiB, "The longest line of the log; longer ones are cut"),
  // Policies
  policyBytesMax: size(1 * MiB, "The largest policy, all its files together"),
  policyFilesMax: count(1000, "The most files of a policy that is only asked about"),
  policyFilenameBytesMax: size(1024, "The longest name of a file of a policy"),
  policyNestingMax: count(100, "How deep expressions of a policy may nest"),
  policyExpandedItemsMax: count(
    100_000,
    "The most names that blocks inherit and facts that fixtures add to tests, all together",
  ),
  policyAlternativesMax: count(4096, "The most alternatives that `or` and `in` of one rule may multiply to"),
  policyRuleConditionsMax: count(200, "The most conditions that a rule may have in each of its alternatives"),
  policyConditionsMax: count(
    50_000,
    "The most heads and conditions that all rules of a policy may have together, once `or` and `in` are multiplied out: it bounds how long a node is busy with a policy that becomes active",
  ),
  policyPredicatesMax: count(2000, "The most predicates of facts that a policy may use; each is a table"),
  policyTypingsMax: count(
    500_000,
    "The most combinations that the types of arguments may multiply to, in all rules of a policy together",
  ),
  policyProblemsMax: count(100, "The most problems listed of one policy"),
  policyCheckTimeMsMax: time(
    20_000,
    "The longest time that the check of a policy may take, its tests included, and that an upload may wait for its turn",
  ),
  policyCheckMemoryBytesMax: size(
    768 * MiB,
    "The most memory that a worker process may take for the check of a policy, beside some 100 MB of its own",
  ),
  policyChecksAtWorkMax: count(
    2,
    "The most policies that are checked at the same time, uploads and those that are only asked about apart; one key has fewer at work than are free",
  ),
  policyChecksWaitingMax: count(
    16,
    "The most policies that are checked or wait for it, uploads and those that are only asked about apart; a key that holds as many places as are free gets 429",
  ),
  // Explanations
  explanationStepsMax: count(
    50_000,
    "The most steps of explaining one decision, or why the assertions of one policy test fail and which rules they exercise",
  ),
  explanationTimeMsMax: time(5000, "The longest time that explaining one decision may take"),
  explanationFactsMax: count(
    10_000,
    "The most facts that the explanation of a decision looks at in one go; a condition that more make true is not followed",
  ),
  explanationEntriesMax: count(1000, "The most steps and attempts that one explanation tells of"),
  explanationDepthMax: count(50, "How deep the steps or attempts of one explanation may nest"),
  explanationsWaitingMax: count(
    16,
    "The most explanations asked for at a time; a key that holds as many places as are free gets 429",
  ),
  // Questions
  queryTimeMsMax: time(20_000, "The longest time that one question may take"),
  queryRowsMax: count(1_000_000, "The most rows that one question may give"),
  servingThreadQueryRowsMax: count(
    5_000_000,
    "The most rows that a question may look at, whatever it is asked with, to be answered at once; others are answered in a worker process",
  ),
  servingThreadQueryStepsMax: count(
    5000,
    "The most steps of a question that no single statement can answer to be answered at once, as above",
  ),
  servingThreadAnswerValuesMax: count(
    10_000,
    "The most values (ids, arguments of facts) of an answer that is made at once; larger ones are made in a worker process, in parts, as fast as the client takes them",
  ),
  servingThreadTimeMsMax: time(
    100,
    "How long the checks of many resources in one request may take at once; past that they go on in a worker process, as above",
  ),
  offloadedQueriesMax: count(
    200,
    "The most questions that worker processes answer at a time; a key that holds as many places as are free gets 429",
  ),
  slowQueryAfterMs: time(250, "After this time a question in a worker process does not make others wait any longer"),
  slowQueriesMax: count(
    3,
    "The most such slow questions at a time; the next one to be slow of a key that has as many as are free is answered with 429",
  ),
  queryValuesMax: count(
    4_000_000,
    "The most values that one question may have in memory at a time: of its answers, rows times variables, and of what it looks at step by step",
  ),
  queryMemoryBytesMax: size(
    512 * MiB,
    "The most memory that a worker process may take for its questions, JavaScript and SQLite together, beside some 100 MB of its own",
  ),
  queryStepsMax: count(20_000_000, "The most steps of a question that no single statement can answer"),
  planNodesMax: count(
    20_000,
    "The most pieces (predicates with given types) that the rules behind one question may have",
  ),
  planClausesMax: count(
    400,
    "The most alternatives in the statement of one question; past that it is answered step by step",
  ),
  planStepsMax: count(
    20_000,
    "The most steps of planning one statement; past that the question is answered step by step",
  ),
  closuresMax: count(
    500,
    "The most transitive closures (folders in folders, groups in groups) that a policy may have kept as tables; past that all are walked when a question is asked",
  ),
  closureRowsMax: count(
    5_000_000,
    "The most rows of one closure; past that it is walked instead, until a policy becomes active or the data are cleared",
  ),
  closureUpdateRowsMax: count(
    500_000,
    "The most rows of a closure that one fact may change; past that it is walked, as above",
  ),
  servingThreadQueryCallsMax: count(
    10,
    "The most calls of a question of the query builder that the serving thread plans and answers; others are planned and answered in a worker process",
  ),
  servingThreadPlanTypingsMax: count(
    10_000,
    "The most combinations of rules and types that may be looked at to plan a question at once; others are planned and answered in a worker process",
  ),
  closureTimeMsMax: time(
    3000,
    "The longest time that one event may take for closures, in which nothing else is written: a policy that becomes active, or a batch; past that they are walked, as above",
  ),
  planCacheEntriesMax: count(2000, "The most prepared questions (shapes) kept"),
  symbolCacheEntriesMax: count(
    4_000_000,
    "The most values (users, resources) whose ids are kept in memory, which takes some 40 bytes each; others are looked up in the file for each question that names them",
    0,
  ),
  decisionCacheEntriesMax: count(
    100_000,
    "The most decisions kept for those who ask again, until a fact that they may hang on changes; 0 keeps none",
    0,
  ),
  // The feed: primary to edges
  publishBatchEventsMax: count(128, "The most events in one message of the feed"),
  publishBatchBytesMax: size(64 * KiB, "The largest message of the feed"),
  publishEventBytesMax: size(32 * KiB, "Larger events travel over HTTP, the feed only names them"),
  publishInFlightMessagesMax: count(8, "The most messages that wait for the broker's acknowledgement"),
  publishBacklogEventsMax: count(
    5000,
    "A publisher further behind jumps to the head and leaves the rest to catching up",
  ),
  catchUpBufferMessagesMax: count(200, "The most messages that an edge keeps while it catches up"),
  catchUpBufferBytesMax: size(8 * MiB, "The most bytes of messages that an edge keeps while it catches up"),
  headIntervalMs: time(1000, "How often the primary says where its log ends"),
  headSequencesReserved: count(
    10_000,
    "How many sequence numbers of heads a primary reserves with one write to its data directory",
    2,
  ),
  gapGraceMs: time(200, "How long an edge that is behind waits for the feed before it asks the primary"),
  brokerSilenceMsMax: time(3000, "After this time without a word from the feed an edge asks the primary itself"),
  pollIntervalMs: time(
    2000,
    "While the feed is silent: how long an edge's request for the primary's next head stays open, and how often a failed one is repeated",
  ),
  retryDelayMsMin: time(50, "The first delay before something that failed between nodes is tried again"),
  retryDelayMsMax: time(2000, "The longest delay before something that failed between nodes is tried again"),
  peerCheckIntervalMs: time(2000, "How often nodes ask those that they were told of who is the primary"),
  ackTimeoutMs: time(
    5000,
    "The longest that a write waits for edges to have it, where the primary was told to (`ack`)",
  ),
  readyAgeMsMax: time(
    30_000,
    "A node whose copy was last known to be the newest longer ago says at `/readyz` that it should not be asked; it answers all the same",
  ),
  databaseCheckIntervalMs: time(
    3_600_000,
    "How often a node reads its database from end to end and computes the digest anew, to see whether it still is what it should be",
  ),
  scrubIntervalMs: time(
    3_600_000,
    "The longest time in which a node reads all pages of its database and compares them with their checksums; at least 4 MiB are read each second, so that a small database is read through in seconds",
  ),
  // The change feed: what happens, for applications
  eventsPageMax: count(1000, "The most events of one page of `/api/events`; a larger `limit` is cut to it"),
  eventsPageBytesMax: size(1 * MiB, "The largest page of `/api/events`; a single larger event is given alone"),
  eventPagesMax: count(
    100,
    "The most pages of `/api/events` that are asked for at a time; a key that holds as many places as are free gets 429",
  ),
  eventStreamsMax: count(
    200,
    "The most streams of events that are open at a time; a key that holds as many as are free gets 429",
  ),
  eventStreamBytesMax: size(
    256 * KiB,
    "The most that waits for one who reads a stream slowly, but for a single larger event",
  ),
  eventHeartbeatMs: time(
    15_000,
    "How often a stream without events says that it lives; more than two minutes of silence end a connection",
    60_000,
  ),
  eventStallMs: time(30_000, "A stream whose reader takes nothing for this time is ended; it may go on where it was"),
  // The broker
  brokerConnectTimeoutMs: time(5000, "How long to wait for a broker to accept a connection"),
  brokerKeepaliveMs: time(5000, "How often a silent connection to the broker is probed"),
  brokerDrainTimeoutMs: time(
    5000,
    "The embedded broker ends the connection of a subscriber that takes nothing for this time",
  ),
  brokerConnectionsMax: count(1000, "The most connections to the embedded broker that have logged in"),
  brokerLoginsWaitingMax: count(
    100,
    "The most connections to the embedded broker that have not logged in yet; a further one replaces the oldest",
  ),
  brokerPacketBytesMax: size(64 * KiB, "The largest message that the embedded broker takes from a node"),
  // The log and its snapshots
  logPageEventsMax: count(5000, "The most events of one page of the log between nodes"),
  logPageBytesMax: size(4 * MiB, "The largest page of the log between nodes"),
  retentionEvents: count(
    1_000_000,
    "The most events kept in the log, for nodes that catch up and for going back in time; who needs older ones takes a snapshot",
  ),
  retentionBytes: size(4 * GiB, "The most bytes of events kept in the log"),
  retentionAgeMs: time(30 * day, "How long events are kept in the log", 3650 * day),
  retentionClockSteadyMs: time(
    600_000,
    "How long the wall clock must have agreed with the monotonic clock before events are removed by age, and between two such removals, each of at most a tenth of the log",
  ),
  logTrimIntervalMs: time(10_000, "How often the log is made shorter, where it is too long"),
  diskReserveBytes: size(
    64 * MiB,
    "Below so much free disk space a primary refuses writes with 503, so that its log can still be written: keys can always be removed, and facts down to half of it. On a small volume it is at most a quarter of the volume; 0 reserves nothing",
    0,
  ),
  walCheckpointBytes: size(
    64 * MiB,
    "From this size on a node empties the write-ahead log of its database after a commit, as soon as readers allow it",
  ),
  walBytesMax: size(
    4 * GiB,
    "The largest write-ahead log: a primary refuses writes with 503 while reads that take long, such as a backup, keep it from being emptied",
  ),
  snapshotReuseMs: time(1000, "A snapshot of at most this age is given out again although there are newer events"),
  snapshotBytesMax: size(64 * GiB, "The largest database that a snapshot may unpack to"),
  logTimeoutMs: time(
    5000,
    "The longest that nothing may arrive of a page of the log before fetching it counts as failed",
  ),
  snapshotTimeoutMs: time(
    30_000,
    "The longest that nothing may arrive of a snapshot before fetching it counts as failed",
  ),
  forwardTimeoutMs: time(
    10_000,
    "The longest that an edge waits for the primary's answer to a write that it sent on; for a policy two and a half times `policyCheckTimeMsMax` longer, which should be the same on all nodes",
  ),
} as const;

export const limitsSchema = z.strictObject(limitShape);
export type Limits = z.output<typeof limitsSchema>;

/** The limits of a node on which nobody changed anything. */
export const defaultLimits: Limits = limitsSchema.parse({});

function count(standard: number, description: string, min = 1) {
  const max = 1_000_000_000;
  return integer(min, max)
    .default(standard)
    .register(settingInfo, { description, allowed: `a whole number from ${min} to ${max}`, placeholder: "number" });
}

function size(standard: number, description: string, min = 1) {
  const max = 1024 * GiB;
  return bytes(min, max)
    .default(standard)
    .register(settingInfo, {
      description,
      allowed: `a number of bytes, such as \`983040\` or \`960KiB\`, up to \`${formatBytes(max)}\``,
      placeholder: "size",
    });
}

function time(standard: number, description: string, max = day) {
  return duration(1, max)
    .default(standard)
    .register(settingInfo, {
      description,
      allowed: `a duration, such as \`500ms\` or \`20s\`, up to \`${formatDuration(max)}\``,
      placeholder: "duration",
    });
}
