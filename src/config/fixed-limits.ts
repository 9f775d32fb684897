/**
 * The limits that are constants, because no operator has a reason to change them: they protect a node from work without
 * end, or divide work into parts, and their values were measured. Each says what it bounds. Tests set lower ones.
 *
 * In 0.1.0 they were settings. A value that somebody has set keeps its effect, with a warning, until 0.3.0.
 */
import { count, day, KiB, MiB, size, time } from "./limit-definition.ts";

export const fixedLimits = {
  // Requests
  evaluationsMax: count(1000, "Maximum number of evaluations in one request of AuthZEN"),
  propertiesBytesMax: size(
    1 * MiB,
    "Maximum size of all properties and contexts in one request of AuthZEN, without the JSON around them",
  ),
  queryCallsMax: count(100, "Maximum number of calls in one query of the query builder"),
  queryVariablesMax: count(
    1000,
    "Maximum number of variables in one query of the query builder, and in one of its calls",
  ),
  queryIdsMax: count(100_000, "Maximum number of ids to which a query of the query builder can restrict one variable"),
  bindingsBytesMax: size(64 * KiB, "Maximum size of data bindings, the YAML text of local authorization"),
  bindingsMax: count(500, "Maximum number of signatures in data bindings"),
  storedBindingsMax: count(32, "Maximum number of data bindings that an environment stores under names", { min: 0 }),
  localValuesMax: count(
    100_000,
    "Maximum number of central values in one condition of the SQL of local authorization; a question that needs more is refused and names the facts to bind",
  ),
  localSqlBytesMax: size(16 * MiB, "Maximum length of the SQL of local authorization"),
  identifierBytesMax: size(512, "Maximum length of a type, an id or a predicate name in a fact or a query"),
  listPageEntriesMax: count(10_000, "Maximum number of entries on one page of a list"),
  factPageEntriesMax: count(
    1000,
    "Maximum number of facts on one page of `GET /api/facts`; a larger `page_size` is reduced to it",
  ),
  factPageBytesMax: size(
    1 * MiB,
    "Maximum size of one page of `GET /api/facts`; a larger fact is sent on a page of its own",
  ),
  resultSetsMax: count(
    1000,
    "Maximum number of result sets. A result set holds the ids of a paged list at the revision of its first page, so that later pages are consistent with it; 0 keeps none",
    { min: 0 },
  ),
  resultSetTtlMs: time(300_000, "How long a result set is kept after its first page"),
  resultSetFinishedTtlMs: time(
    2000,
    "How long a result set is kept after its last page, in case a client repeats that request",
  ),
  recentDecisionsBytesMax: size(
    4 * MiB,
    "Maximum size of the recent decisions that a node keeps in memory for the decision log and for parity reports that follow; one decision takes about 300 bytes",
  ),
  parityReportsBytesMax: size(
    16 * MiB,
    "Maximum size of the parity reports in the decision log, without their decisions, about 300 bytes each. When it is reached, the API key with most reports loses its oldest ones, mismatches last",
  ),
  bodyBytesPerSecondMin: size(
    16 * KiB,
    "Minimum average rate at which the rest of a body must arrive after `bodyTimeoutMs`; a slower request gets 408",
  ),
  keyLookupsPerSecondMax: count(
    20,
    "Maximum number of unknown API keys that an edge looks up at the primary in one second, before it reads the body of a write",
  ),
  oidcTokenBytesMax: size(12 * KiB, "Maximum length of a token of the OIDC issuer"),
  oidcTokensCachedMax: count(
    1000,
    "Maximum number of verified tokens of the OIDC issuer that a node keeps (as hashes) until they expire, so that it does not verify each of them again",
  ),
  oidcVerificationsMax: count(
    64,
    "Maximum number of tokens of the OIDC issuer that are verified, or that wait for the keys of the issuer, at the same time; further ones get 503",
  ),
  oidcKeysRefreshMs: time(600_000, "How often the keys of the OIDC issuer are fetched while tokens arrive"),
  oidcKeysFetchIntervalMsMin: time(
    10_000,
    "Minimum time between two fetches of the keys of the OIDC issuer, however many tokens name unknown keys",
  ),
  oidcKeysAgeMsMax: time(
    day,
    "How long fetched keys of the OIDC issuer are valid while the issuer does not answer; after that all its tokens get 503",
    { max: 30 * day },
  ),
  oidcFetchTimeoutMs: time(5000, "How long the OIDC issuer can take to answer"),
  oidcResponseBytesMax: size(256 * KiB, "Maximum size of a response of the OIDC issuer"),
  bufferedNodeBytesReserved: size(32 * MiB, "Part of `bufferedBytesMax` that is reserved for other nodes"),
  largeResponsesMax: count(
    16,
    "Maximum number of responses that are produced in parts while the client reads them; an API key that holds as many slots as are free gets 429",
  ),
  largeResponseTimeMsMax: time(300_000, "How long a client can take to read such a response"),
  keyUsesIntervalMs: time(
    60_000,
    "How often a node saves when each API key was last used, and an edge or a fallback reports it to the primary",
  ),
  keyExpiryCheckIntervalMs: time(
    60_000,
    "How often the primary looks for API keys that have expired, to record it in the log",
  ),
  logLineBytesMax: size(8 * KiB, "Maximum length of a line of the log output; longer lines are cut"),
  // Policies
  policyFilesMax: count(1000, "Maximum number of files in a request to validate or test a policy"),
  policyFilenameBytesMax: size(1024, "Maximum length of the name of a policy file"),
  policyMessageBytesMax: size(1024, "Maximum length of the message of a policy upload"),
  policyHistoryPageMax: count(1000, "Maximum number of versions in a page of the history of the policy"),
  policyNestingMax: count(100, "Maximum nesting depth of an expression in a policy"),
  policyExpandedItemsMax: count(
    100_000,
    "Maximum number of names that blocks inherit plus facts that fixtures add to tests",
  ),
  policyAlternativesMax: count(4096, "Maximum number of alternatives to which `or` and `in` expand one rule"),
  policyRuleConditionsMax: count(200, "Maximum number of conditions in each alternative of a rule"),
  policyConditionsMax: count(
    50_000,
    "Maximum number of heads and conditions in all rules of a policy, after `or` and `in` are expanded. It bounds how long a node is busy when a policy becomes active",
  ),
  policyPredicatesMax: count(2000, "Maximum number of fact predicates that a policy can use; each is a table"),
  policyTypingsMax: count(
    500_000,
    "Maximum number of combinations of argument types in all rules of a policy together",
  ),
  policyProblemsMax: count(100, "Maximum number of problems reported for one policy"),
  policyChecksAtWorkMax: count(
    2,
    "Maximum number of policies that are checked at the same time; uploads and requests to validate or test are counted separately. One API key can run fewer checks than there are free slots",
  ),
  policyChecksWaitingMax: count(
    16,
    "Maximum number of policies that are checked or wait for it; uploads and requests to validate or test are counted separately. An API key that holds as many slots as are free gets 429",
  ),
  // Explanations
  explanationStepsMax: count(
    50_000,
    "Maximum number of steps to explain one decision, or to find why the assertions of one policy test fail and which rules they exercise",
  ),
  explanationTimeMsMax: time(5000, "How long the explanation of one decision can take"),
  explanationFactsMax: count(
    10_000,
    "Maximum number of facts that an explanation reads for one condition; a condition that more facts satisfy is not explained further",
  ),
  explanationEntriesMax: count(1000, "Maximum number of steps and attempts in one explanation"),
  explanationDepthMax: count(50, "Maximum nesting depth of steps or attempts in one explanation"),
  explanationsWaitingMax: count(
    16,
    "Maximum number of explanations that run or wait; an API key that holds as many slots as are free gets 429",
  ),
  // Queries
  queryRowsMax: count(1_000_000, "Maximum number of rows in the result of one query"),
  servingThreadQueryRowsMax: count(
    5_000_000,
    "Admission control: the serving thread answers a query if it examines at most this many rows for any arguments; a worker process answers other queries",
  ),
  servingThreadQueryStepsMax: count(
    5000,
    "Admission control: maximum number of evaluation steps on the serving thread, for a query that no single SQL statement can answer",
  ),
  servingThreadAnswerValuesMax: count(
    10_000,
    "Admission control: maximum number of values (ids, arguments of facts) in a result that the serving thread produces. A worker process produces larger results in parts, as fast as the client reads them",
  ),
  servingThreadTimeMsMax: time(
    100,
    "Admission control: how long the checks of many resources in one request can take on the serving thread; after that a worker process continues",
  ),
  servingThreadQueryCallsMax: count(
    10,
    "Admission control: maximum number of calls in a query of the query builder that the serving thread plans and answers",
  ),
  servingThreadPlanTypingsMax: count(
    10_000,
    "Admission control: maximum number of combinations of rules and types that the serving thread examines to plan a query",
  ),
  offloadedQueriesMax: count(
    200,
    "Maximum number of queries that worker processes answer at the same time; an API key that holds as many slots as are free gets 429",
  ),
  slowQueryAfterMs: time(
    250,
    "After this time a query in a worker process is slow: other queries no longer wait for it",
  ),
  slowQueriesMax: count(
    3,
    "Maximum number of slow queries at the same time; the next slow query of an API key that has as many as are free gets 429",
  ),
  queryValuesMax: count(
    4_000_000,
    "Maximum number of values that one query can hold in memory: those of its result (rows times variables) and those of step-by-step evaluation",
  ),
  queryStepsMax: count(
    20_000_000,
    "Maximum number of evaluation steps of a query that no single SQL statement can answer",
  ),
  planNodesMax: count(
    20_000,
    "Maximum number of specialised predicates (a predicate with given types) in the rules of one query",
  ),
  planClausesMax: count(
    400,
    "Maximum number of alternatives in the SQL statement of one query; a larger query is evaluated step by step",
  ),
  planStepsMax: count(
    20_000,
    "Maximum number of steps to plan one SQL statement; a query that needs more is evaluated step by step",
  ),
  closuresMax: count(
    500,
    "Maximum number of transitive closures (folders in folders, groups in groups) of a policy that are materialized as tables; a policy with more has none, and queries compute them",
  ),
  planCacheEntriesMax: count(2000, "Maximum number of query plans in the plan cache"),
  // Replication
  publishBatchEventsMax: count(128, "Maximum number of events in one message to the brokers"),
  publishBatchBytesMax: size(64 * KiB, "Maximum size of one message to the brokers"),
  publishEventBytesMax: size(
    32 * KiB,
    "Maximum size of an event that is sent through the brokers; of a larger event the message has only the position, and edges fetch it over HTTP",
  ),
  publishInFlightMessagesMax: count(8, "Maximum number of messages that wait for the acknowledgement of a broker"),
  publishBacklogEventsMax: count(
    5000,
    "A publisher that is further behind skips to the head of the log; edges fetch the skipped events over HTTP",
  ),
  catchUpBufferMessagesMax: count(200, "Maximum number of messages that an edge buffers while it catches up"),
  catchUpBufferBytesMax: size(8 * MiB, "Maximum size of the messages that an edge buffers while it catches up"),
  headIntervalMs: time(1000, "How often the primary publishes the position of the head of its log"),
  headSequencesReserved: count(
    10_000,
    "How many sequence numbers of head messages a primary reserves with one write to its data directory",
    { min: 2 },
  ),
  gapGraceMs: time(200, "How long an edge that misses an event waits for the brokers before it asks the primary"),
  brokerSilenceMsMax: time(3000, "If the brokers are silent for this time, an edge asks the primary over HTTP"),
  pollIntervalMs: time(
    2000,
    "While the brokers are silent: how long an edge's request for the next head of the primary stays open, and how often a failed request is repeated",
  ),
  retryDelayMsMin: time(50, "First delay before a failed operation between nodes is retried"),
  retryDelayMsMax: time(2000, "Maximum delay before a failed operation between nodes is retried"),
  peerCheckIntervalMs: time(2000, "How often a node asks its peers which node is the primary"),
  auditExchangeIntervalMs: time(
    5000,
    "How often an edge, or a fallback with `follow`, asks the primary for entries of the audit log, and sends its own",
  ),
  // Events for applications
  eventsPageMax: count(
    1000,
    "Maximum number of events on one page of `/api/events`; a larger `limit` is reduced to it",
  ),
  eventsPageBytesMax: size(
    1 * MiB,
    "Maximum size of one page of `/api/events`; a larger event is sent on a page of its own",
  ),
  eventPagesMax: count(
    100,
    "Maximum number of requests for pages of `/api/events` at the same time; an API key that holds as many slots as are free gets 429",
  ),
  eventStreamBytesMax: size(
    256 * KiB,
    "Maximum number of bytes that wait for a slow reader of an event stream; a single larger event can exceed it",
  ),
  eventHeartbeatMs: time(
    15_000,
    "How often an event stream without events sends a comment. Connections end after two minutes of silence",
    { max: 60_000 },
  ),
  eventStallMs: time(
    30_000,
    "The node ends an event stream whose reader accepts nothing for this time; the reader can continue where it stopped",
  ),
  auditPageMax: count(
    1000,
    "Maximum number of entries on one page of `GET /api/audit`; a larger `page_size` is reduced to it",
  ),
  // The decision log
  decisionQuestionBytesMax: size(
    256 * KiB,
    "Maximum length of the question of a logged decision; of a longer one the log has only the result",
  ),
  decisionBufferBytesMax: size(
    16 * MiB,
    "Maximum size of decisions that wait for the thread that writes the decision log; further ones are only counted",
  ),
  decisionTrimIntervalMs: time(
    10_000,
    "How often decisions above the size or the age of the decision log are removed from it",
  ),
  decisionsPageMax: count(
    1000,
    "Maximum number of decisions on one page of `/api/decisions`; a larger `limit` is reduced to it",
  ),
  decisionsPageBytesMax: size(1 * MiB, "Maximum size of one page of `/api/decisions`, about"),
  decisionReadsMax: count(
    20,
    "Maximum number of requests for pages of `/api/decisions` at the same time; an API key that holds as many slots as are free gets 429",
  ),
  decisionStreamsMax: count(
    50,
    "Maximum number of open streams of `/api/decisions`; an API key that holds as many slots as are free gets 429",
  ),
  decisionExplanationTimeMsMax: time(
    60_000,
    "How long the explanation of a logged decision, or a replay, can take with the reconstruction of the data of that time",
  ),
  decisionExplanationsWaitingMax: count(
    4,
    "Maximum number of questions about earlier moments, explanations of logged decisions and replays that run or wait; an API key that holds as many slots as are free gets 429",
  ),
  // Brokers
  brokerConnectTimeoutMs: time(5000, "How long a node waits for a broker to accept a connection"),
  brokerKeepaliveMs: time(5000, "How often a silent connection to a broker is probed"),
  brokerDrainTimeoutMs: time(
    5000,
    "The embedded broker closes the connection of a subscriber that accepts nothing for this time",
  ),
  brokerConnectionsMax: count(
    1000,
    "Maximum number of authenticated connections to the embedded broker. A hosted environment gets another one while it has fewer than are free",
  ),
  brokerLoginsWaitingMax: count(
    100,
    "Maximum number of connections to the embedded broker that are not authenticated yet; a further one replaces the oldest of the client address that has the most",
  ),
  brokerPacketBytesMax: size(64 * KiB, "Maximum size of a message that the embedded broker accepts from a node"),
  // Traces
  traceBufferTracesMax: count(
    500,
    "Maximum number of traces that a node keeps in memory for `GET /api/traces`, of all environments together",
  ),
  traceBufferBytesMax: size(4 * MiB, "Maximum size of the traces that a node keeps in memory"),
  // The log, snapshots and the disk
  logPageEventsMax: count(5000, "Maximum number of events on one page of the log that a node sends to another node"),
  logPageBytesMax: size(4 * MiB, "Maximum size of one page of the log that a node sends to another node"),
  retentionClockSteadyMs: time(
    600_000,
    "How long the wall clock must have agreed with the monotonic clock before events are removed because of their age. It is also the interval between two such removals, each of which removes at most a tenth of the log, of the audit log or of the decision log",
  ),
  logTrimIntervalMs: time(10_000, "How often events above the retention are removed from the log"),
  walCheckpointBytes: size(
    64 * MiB,
    "A node checkpoints the write-ahead log of its database after a commit if the log is larger than this and no reader needs it",
  ),
  snapshotReuseMs: time(1000, "A snapshot of at most this age is served again even if there are newer events"),
  logTimeoutMs: time(5000, "A download of a page of the log fails if nothing arrives for this time"),
  snapshotTimeoutMs: time(30_000, "A download of a snapshot fails if nothing arrives for this time"),
};
