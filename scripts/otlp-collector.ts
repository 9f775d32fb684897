/**
 * A small collector: it receives OTLP over HTTP (protobuf, like that of the nodes), keeps the spans in memory, and of
 * each node its last metrics. With it `scripts/up` can draw a trace across nodes, and the tests can check what nodes
 * export, without other programs.
 */
import * as Bun from "bun";
import { gunzipSync } from "node:zlib";
import { bytes, integer, messages, readMessage, text, type Message } from "./protobuf.ts";

export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty at the root. */
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: number;
  /** The `service.instance.id` of its node, or its `service.name`. */
  readonly node: string;
  readonly startMs: number;
  readonly durationMs: number;
  readonly failed: boolean;
  /** The failure of the span, and its exceptions. */
  readonly failures: readonly string[];
  readonly attributes: Readonly<Record<string, AttributeValue>>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
}

type AttributeValue = string | number | boolean;
type Attributes = Readonly<Record<string, AttributeValue>>;

/** The metrics of one node, from one export. */
export interface NodeMetrics {
  readonly resource: Attributes;
  readonly metrics: readonly Metric[];
}

export interface Metric {
  readonly name: string;
  readonly description: string;
  readonly unit: string;
  readonly type: "gauge" | "sum" | "histogram";
  /** Of sums and histograms: 2 is cumulative. */
  readonly temporality: number;
  readonly isMonotonic: boolean;
  readonly points: readonly MetricPoint[];
}

export interface MetricPoint {
  readonly attributes: Attributes;
  readonly startMs: number;
  readonly timeMs: number;
  /** The sum of all values in a histogram. */
  readonly value: number;
  /** The following are of histograms. */
  readonly count: number;
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
}

export interface Collector {
  /** The value for `OTEL_EXPORTER_OTLP_ENDPOINT`. */
  readonly url: string;
  readonly spans: readonly Span[];
  /** By the id of the node. */
  readonly metrics: ReadonlyMap<string, NodeMetrics>;
  trace(traceId: string): readonly Span[];
  stop(): Promise<void>;
}

export function startCollector(): Collector {
  const spans: Span[] = [];
  const metrics = new Map<string, NodeMetrics>();
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    development: false,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname !== "/v1/traces" && pathname !== "/v1/metrics") return new Response("no such path", { status: 404 });
      const raw = await request.bytes();
      const body = request.headers.get("content-encoding") === "gzip" ? new Uint8Array(gunzipSync(raw)) : raw;
      if (pathname === "/v1/traces") spans.push(...decodeTraces(body));
      else for (const exported of decodeMetrics(body)) metrics.set(nodeOf(exported.resource), exported);
      return new Response(new Uint8Array(), { headers: { "Content-Type": "application/x-protobuf" } });
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    spans,
    metrics,
    trace: (traceId) => spans.filter((span) => span.traceId === traceId),
    stop: () => server.stop(true),
  };
}

/** `ExportTraceServiceRequest` of opentelemetry-proto; the numbers are its field numbers. */
export function decodeTraces(body: Uint8Array): Span[] {
  return messages(readMessage(body), 1).flatMap((resourceSpans) => {
    const node = nodeOf(resourceOf(resourceSpans));
    return messages(resourceSpans, 2).flatMap((scope) => messages(scope, 2).map((span) => decodeSpan(span, node)));
  });
}

const resourceOf = (message: Message): Attributes =>
  attributes(messages(message, 1).flatMap((resource) => messages(resource, 1)));

const nodeOf = (resource: Attributes): string =>
  String(resource["service.instance.id"] ?? resource["service.name"] ?? "");

/** `ExportMetricsServiceRequest` of opentelemetry-proto. */
export function decodeMetrics(body: Uint8Array): NodeMetrics[] {
  return messages(readMessage(body), 1).map((resourceMetrics) => ({
    resource: resourceOf(resourceMetrics),
    metrics: messages(resourceMetrics, 2).flatMap((scope) => messages(scope, 2).map(decodeMetric)),
  }));
}

/** The field of each kind of data. */
const dataFields = [
  ["gauge", 5],
  ["sum", 7],
  ["histogram", 9],
] as const;

function decodeMetric(metric: Message): Metric {
  const [type, field] = dataFields.find(([, number]) => metric.has(number)) ?? dataFields[0];
  const [data = new Map()] = messages(metric, field);
  return {
    name: text(metric, 1),
    description: text(metric, 2),
    unit: text(metric, 3),
    type,
    temporality: Number(integer(data, 2)),
    isMonotonic: integer(data, 3) === 1n,
    points: messages(data, 1).map(type === "histogram" ? decodeHistogramPoint : decodeNumberPoint),
  };
}

function decodeNumberPoint(point: Message): MetricPoint {
  return {
    ...timesOf(point),
    attributes: attributes(messages(point, 7)),
    value: double(integer(point, 4)),
    ...noBuckets,
  };
}

const noBuckets = { count: 0, bounds: [], counts: [] };

function decodeHistogramPoint(point: Message): MetricPoint {
  return {
    ...timesOf(point),
    attributes: attributes(messages(point, 9)),
    value: double(integer(point, 5)),
    count: Number(integer(point, 4)),
    counts: packed(bytes(point, 6), (view, at) => Number(view.getBigUint64(at, true))),
    bounds: packed(bytes(point, 7), (view, at) => view.getFloat64(at, true)),
  };
}

const timesOf = (point: Message) => ({
  startMs: Number(integer(point, 2)) / 1e6,
  timeMs: Number(integer(point, 3)) / 1e6,
});

/** A list of numbers of 8 bytes each. */
function packed(raw: Uint8Array, read: (view: DataView, at: number) => number): number[] {
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  return Array.from({ length: raw.byteLength / 8 }, (_, index) => read(view, index * 8));
}

function decodeSpan(span: Message, node: string): Span {
  const start = integer(span, 7);
  const status = messages(span, 15).at(0);
  return {
    traceId: hex(span, 1),
    spanId: hex(span, 2),
    parentSpanId: hex(span, 4),
    name: text(span, 5),
    kind: Number(integer(span, 6)),
    node,
    startMs: Number(start) / 1e6,
    durationMs: Number(integer(span, 8) - start) / 1e6,
    failed: status !== undefined && integer(status, 3) === 2n,
    failures: [...(status === undefined ? [] : [text(status, 2)]), ...exceptions(span)].filter((said) => said !== ""),
    attributes: attributes(messages(span, 9)),
    links: messages(span, 13).map((link) => ({ traceId: hex(link, 1), spanId: hex(link, 2) })),
  };
}

function exceptions(span: Message): string[] {
  return messages(span, 11).flatMap((event) => Object.values(attributes(messages(event, 3))).map(String));
}

/** Numbers, strings and booleans. Lists and maps, which the nodes do not send, are ignored. */
function attributes(pairs: readonly Message[]): Record<string, AttributeValue> {
  const result: Record<string, AttributeValue> = {};
  for (const pair of pairs) {
    const value = messages(pair, 2).at(0);
    if (value?.has(1)) result[text(pair, 1)] = text(value, 1);
    else if (value?.has(2)) result[text(pair, 1)] = integer(value, 2) !== 0n;
    else if (value?.has(3)) result[text(pair, 1)] = Number(BigInt.asIntN(64, integer(value, 3)));
    else if (value?.has(4)) result[text(pair, 1)] = double(integer(value, 4));
  }
  return result;
}

function double(bits: bigint): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, bits);
  return view.getFloat64(0);
}

const hex = (message: Message, field: number): string => Buffer.from(bytes(message, field)).toString("hex");
