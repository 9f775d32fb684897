/** Logged decisions, and decisions that were made again, as text. */
import { explanationLines } from "../engine/explain/explanation-text.ts";
import { formatValue } from "../engine/explain/atom.ts";
import type { decisionEndpoints } from "../features/decisions/endpoints.ts";
import type { ResponseOf } from "../http/endpoint.ts";
import { printable } from "../util/printable.ts";
import { askedResources, queryCalls } from "../util/query-text.ts";

type Decision = ResponseOf<typeof decisionEndpoints.getDecisions>["decisions"][number];

export function resultOf({ result, count }: Pick<Decision, "result" | "count">): string {
  return result ?? `${count} ${count === 1 ? "entry" : "entries"}`;
}

export function questionText({ kind, actor, action, resource, question }: Decision): string {
  const calls = queryCalls(question, (type, id) => formatValue({ type, id }));
  if (calls !== undefined) return calls.join(" and ");
  const asked = [valueText(actor), action ?? "_", askedResources(question, valueText) ?? valueText(resource)];
  return kind === "authorize" ? asked.join(" ") : `${kind} ${asked.join(" ")}`;
}

function valueText(given: Decision["actor"]): string {
  if (given === null) return "_";
  const { type, id, hash } = given;
  if (id !== undefined) return formatValue({ type, id });
  return hash === undefined ? `${type}:_` : `${type}:hash ${hash}`;
}

/** A node works on one explanation after another, and by default for at most a minute on each. */
export const replayTimeoutMs = 300_000;

export type Replay = ResponseOf<typeof decisionEndpoints.replayDecisions>;

/** Why a replay without decisions says nothing about the policy. */
export function noEvidence({ log, skipped }: Replay): string {
  const why =
    skipped.length > 0
      ? "none of the logged decisions could be replayed"
      : log === "off"
        ? "the decision log of the node is off; its setting `decisions.log` turns it on"
        : "the decision log of the node has none that match";
  return `no decision was replayed, so it is not known what the policy would change: ${why}`;
}

/** A replay as text, one changed decision after another. */
export function replayText({ replayed: count, changed, changed_count, complete, skipped, log }: Replay): string {
  const lines = changed.flatMap(({ decision: logged, now, explanation }) => [
    `${logged.time}  ${questionText(logged)}: ${resultOf(logged)} -> ${resultOf(now)}  ${logged.id}`,
    ...(explanation === null ? [] : explanationLines(explanation).map((line) => `  ${line}`)),
  ]);
  const more = changed_count - changed.length;
  const notes = [
    ...(more > 0 ? [`${more} more changes are not listed`] : []),
    ...skipped.map(({ reason, count: each }) => `${each} were not replayed: ${reason}`),
    ...(complete ? [] : ["older decisions were not replayed; --limit and --since select them"]),
    ...(log === "denials" ? ["the log has only denials and empty lists: permissions were not replayed"] : []),
  ];
  const summary = count === 0 ? "no decision was replayed" : `${changed_count} of ${count} decisions would change`;
  return [...lines, summary, ...notes].map((line) => `${printable(line)}\n`).join("");
}
