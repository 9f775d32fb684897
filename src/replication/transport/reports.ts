/**
 * What a primary asks its replicas, and their reports. A question is a part of the head, so it reaches all replicas,
 * over a broker or a long poll, without an address of theirs. They send their reports over HTTP. Nodes of earlier
 * versions ignore questions; they are known from their positions.
 */
import { z } from "zod";
import { spanKinds, spansPerTraceMax } from "../../telemetry/recent-traces.ts";
import { listOf } from "../../util/bounded-schema.ts";
import { timeMsMax } from "../../util/clock.ts";
import { parseNodeId } from "../identity.ts";

const count = z.number().int().nonnegative();
const hash = z.string().regex(/^[0-9a-f]{16}$/);

/** What somebody wants to know of all nodes, besides their health. */
const wantedSchema = z.object({
  /** When this event became visible. */
  offset: count.optional(),
  /** The spans of this trace. */
  trace: z
    .string()
    .regex(/^[0-9a-f]{32}$/)
    .optional(),
});

const questionSchema = wantedSchema.extend({ id: hash });
export const questionsMax = 8;
export const questionsSchema = listOf(questionSchema, { max: questionsMax });

const spanSchema = z.object({
  id: hash,
  parent: hash.nullable(),
  name: z.string().max(256),
  kind: z.enum(spanKinds),
  start_us: count,
  duration_us: count,
  failed: z.boolean(),
  attributes: z.record(z.string().max(128), z.union([z.string().max(256), z.number(), z.boolean()])),
});

const reportSchema = z.object({
  /** The question that is answered; undefined if the node reports unasked. */
  question: hash.optional(),
  node: z.string().refine((id) => parseNodeId(id) !== undefined),
  role: z.enum(["primary", "edge", "fallback"]),
  /** This and the next two are null for a node of an earlier version that did not say it. */
  version: z.string().max(64).nullable(),
  state: z.string().max(32).nullable(),
  ready: z.boolean().nullable(),
  degraded: z.string().max(500).optional(),
  epoch: hash.nullable(),
  term: count.nullable(),
  offset: count.nullable(),
  age_ms: z.number().nonnegative().nullable(),
  brokers: listOf(z.object({ broker: z.string().max(300), connected: z.boolean() }), { max: 16 }),
  /** The ids of the node keys that the node accepts; it uses the first one. Nodes of 0.1.0 do not say them. */
  node_keys: listOf(z.string().regex(/^[0-9a-f]{8}$/), { max: 2 }).optional(),
  /** The older format that the database keeps until `ostiary migrate`. */
  kept_format: count.optional(),
  /** When the event of the question became visible, in ms since 1970 by the clock of the node; null if unknown. */
  applied_ms: z.number().nonnegative().max(timeMsMax).nullable().optional(),
  spans: listOf(spanSchema, { max: spansPerTraceMax }).optional(),
});

const surveyedSchema = reportSchema.extend({
  /** How long ago the node was heard of. */
  seen_ms_ago: z.number().nonnegative(),
  /** How many events the node lacked then; null if that is unknown. */
  lag_events: count.nullable(),
  /** Whether the node answered this question, or could have; nodes of earlier versions cannot. */
  answered: z.boolean(),
});

export const surveyedNodesMax = 1000;
const surveySchema = z.object({ nodes: listOf(surveyedSchema, { max: surveyedNodesMax }) });

export type Wanted = z.infer<typeof wantedSchema>;
export type Question = z.infer<typeof questionSchema>;
export type NodeReport = z.infer<typeof reportSchema>;
export type SurveyedNode = z.infer<typeof surveyedSchema>;

export const reportBytesMax = 1024 * 1024;

/** Undefined if it is no report. */
export function decodeReport(text: string): NodeReport | undefined {
  return reportSchema.safeParse(jsonOf(text)).data;
}

/** Undefined if it is no answer to `GET /replication/v1/survey`. */
export function decodeSurvey(text: string): readonly SurveyedNode[] | undefined {
  return surveySchema.safeParse(jsonOf(text)).data?.nodes;
}

/** The question in the query of `GET /replication/v1/survey`; undefined if it is malformed. */
export function wantedIn(query: URLSearchParams): Wanted | undefined {
  const [offset, trace] = [query.get("offset"), query.get("trace")];
  return wantedSchema.safeParse({
    ...(offset !== null && { offset: Number(offset) }),
    ...(trace !== null && { trace }),
  }).data;
}

/** Names a node that answers questions, in its requests for heads. */
export const reporterHeader = "Ostiary-Reporter";

export function formatReporter({ node, role }: Pick<NodeReport, "node" | "role">): string {
  return `${role} ${node}`;
}

/** Undefined for a node of an earlier version. */
export function reporterIn(header: string | null): Pick<NodeReport, "node" | "role"> | undefined {
  const [role, node] = (header ?? "").split(" ");
  return reportSchema.pick({ node: true, role: true }).safeParse({ node, role }).data;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
