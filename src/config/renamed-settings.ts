/**
 * The names of settings in 0.1.0, for those that were renamed. This release accepts them with a warning that gives the
 * new name; the next release removes them.
 *
 * In 0.1.0 all limits were in the section `limits`, which was part of their flags and variables:
 * `limits.queryTimeMsMax`, `--limits-query-time-ms-max`.
 */
import { formerSettings, namesOf, settings, type Setting, type SettingNames } from "./settings.ts";

/** The limits that had another name in 0.1.0, by today's name. */
const oldLimits: Readonly<Record<string, string>> = {
  retentionEvents: "logEventsKept",
  retentionBytes: "logBytesKept",
  retentionAgeMs: "logAgeKeptMs",
  retentionClockSteadyMs: "logAgeSteadyMs",
  resultSetsMax: "listingsKeptMax",
  resultSetsBytesMax: "listingsKeptBytesMax",
  resultSetTtlMs: "listingKeptMs",
  resultSetFinishedTtlMs: "listingFinishedKeptMs",
  servingThreadQueryRowsMax: "queryRowsInPlaceMax",
  servingThreadQueryStepsMax: "queryStepsInPlaceMax",
  servingThreadAnswerValuesMax: "answerValuesInPlaceMax",
  servingThreadTimeMsMax: "queryTimeInPlaceMsMax",
  servingThreadQueryCallsMax: "queryCallsInPlaceMax",
  servingThreadPlanTypingsMax: "planTypingsInPlaceMax",
  offloadedQueriesMax: "queriesAsideMax",
  decisionCacheEntriesMax: "decisionMemoEntriesMax",
  symbolCacheEntriesMax: "valueIdsKeptMax",
  publishBatchEventsMax: "feedBatchEventsMax",
  publishBatchBytesMax: "feedBatchBytesMax",
  publishEventBytesMax: "feedInlineBytesMax",
  publishInFlightMessagesMax: "feedWindowMessagesMax",
  publishBacklogEventsMax: "feedBacklogEventsMax",
  catchUpBufferMessagesMax: "feedBufferMessagesMax",
  catchUpBufferBytesMax: "feedBufferBytesMax",
  brokerSilenceMsMax: "staleFeedAfterMs",
  headSequencesReserved: "headNumbersReserved",
  databaseCheckIntervalMs: "copyCheckIntervalMs",
};

/** The section of 0.1.0 that no setting is in any more. */
export const oldSection = "limits";

/** 0.1.0 had no such settings. */
const added: ReadonlySet<string> = new Set([
  "environmentGrace",
  "environmentsUnknown",
  "nodeClientCa",
  "nodePort",
  "plainPort",
  "threads",
  "trace.recentPerSecond",
  "trace.url",
]);

/** Sections that 0.1.0 did not have. */
const newSections: ReadonlySet<string | undefined> = new Set(["oidc", "decisions"]);

export const oldNames: ReadonlyMap<Setting, SettingNames> = new Map(
  [...settings, ...formerSettings].flatMap((setting) => {
    const [parent, key = ""] = setting.configPath;
    if (newSections.has(parent)) return [];
    const path = parent === "limits" ? [oldSection, oldLimits[key] ?? key] : setting.configPath;
    return path.join(".") === setting.name || added.has(path.join(".")) ? [] : [[setting, namesOf(path)] as const];
  }),
);
