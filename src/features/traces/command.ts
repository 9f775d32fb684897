/** `ostiary traces`: prints the last traces of a running node, or the spans of one trace from all nodes. */
import { InvalidArgumentError, type Command } from "commander";
import { traceEndpoints } from "./endpoints.ts";
import type { ResponseOf } from "../../http/endpoint.ts";
import { print } from "../../runtime/process.ts";
import { printWarning } from "../../cli/color.ts";
import { UsageError, type AddCommand } from "../../cli/command.ts";
import { accessOf, callEndpoint, type NodeAccess, withAccess } from "../../cli/node-api.ts";
import { table } from "../../cli/table.ts";

const details = `
A node keeps a few traces per second in memory, the last 500 of all its environments. The setting traceRecentPerSecond says
how many. With a collector, they are the traces that the node sends to it.

Examples:
  ostiary traces                                      the last traces of the node
  ostiary traces --min-ms 50 --route /api/authorize   slow decisions
  ostiary traces --segments                           how long each phase takes: half, 90 % and 99 % of its spans
  ostiary traces 0af7651916cd43dd8448eb211c80319c     one trace, with the spans of all nodes`;

interface Options {
  readonly minMs?: number;
  readonly route?: string;
  readonly since?: string;
  readonly betweenNodes?: true;
  readonly withoutConsole?: true;
  readonly segments?: true;
  readonly json?: true;
}

export const tracesCommand: AddCommand = (program) => {
  const command = program
    .command("traces [id]")
    .description("Print the last traces of a running node, or one trace across all nodes")
    .option("--min-ms <n>", "Only traces that took at least so many milliseconds", numberIn)
    .option("--route <route>", "Only requests of this route, such as /api/authorize")
    .option("--since <time>", "Only traces that began at this time or later")
    .option("--between-nodes", "Also requests of other nodes, such as polls")
    .option("--without-console", "Without requests of the web console")
    .option("--segments", "Print how long each phase took, instead of the traces")
    .option("--json", "Print JSON, one trace, phase or span per line");
  withAccess(command, traceEndpoints.getTraces)
    .addHelpText("after", details)
    .action(async (id: string | undefined, options: Options, self: Command) => {
      if (id !== undefined && !/^[0-9a-f]{32}$/.test(id))
        throw new UsageError(`\`${id}\` is not the id of a trace, which has 32 hexadecimal digits`);
      const access = accessOf(self);
      await (id === undefined ? printTraces(access, options) : printTrace(access, id, options));
    });
};

function numberIn(text: string): number {
  if (/^\d{1,9}(?:\.\d{1,6})?$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a number of milliseconds.");
}

async function printTraces(access: NodeAccess, options: Options) {
  const { minMs, route, since, betweenNodes, withoutConsole, segments: bySegment, json } = options;
  const query = {
    min_ms: minMs,
    route,
    since,
    between_nodes: betweenNodes && "true",
    console: withoutConsole && "false",
  };
  const { traces, segments } = await callEndpoint(access, traceEndpoints.getTraces, { query });
  if (traces.length === 0)
    await printWarning(
      "the node has no such trace: it keeps a few per second, and none with `advanced.traceRecentPerSecond: 0`",
    );
  if (json) {
    const items: readonly object[] = bySegment ? segments : traces;
    return print(items.map((item) => `${JSON.stringify(item)}\n`).join(""));
  }
  if (bySegment) {
    const rows = segments.map(({ name, count, p50_ms, p90_ms, p99_ms, max_ms }) => [
      name,
      String(count),
      ...[p50_ms, p90_ms, p99_ms, max_ms].map(msText),
    ]);
    return print(table(["SEGMENT", "SPANS", "P50", "P90", "P99", "MAX"], rows));
  }
  const rows = traces.map(({ id, name, start, duration_ms, failed, spans }) => [
    start,
    msText(duration_ms),
    String(spans),
    `${name}${failed ? " (failed)" : ""}`,
    id,
  ]);
  return print(table(["TIME", "DURATION", "SPANS", "NAME", "ID"], rows));
}

type Span = ResponseOf<typeof traceEndpoints.getTrace>["spans"][number];

async function printTrace(access: NodeAccess, id: string, { json }: Options): Promise<void> {
  const { nodes, spans } = await callEndpoint(access, traceEndpoints.getTrace, { params: { id } });
  if (json) return print(spans.map((span) => `${JSON.stringify(span)}\n`).join(""));
  const firstUs = spans[0]?.start_us ?? 0;
  const rows = inTree(spans).map(({ span, depth }) => [
    span.node,
    `+${msText((span.start_us - firstUs) / 1000)}`,
    msText(span.duration_us / 1000),
    `${"  ".repeat(depth)}${span.name}${span.failed ? " (failed)" : ""}`,
  ]);
  await print(table(["NODE", "START", "DURATION", "SPAN"], rows));
  const silent = nodes.filter(({ answered }) => !answered).map(({ node }) => node);
  if (silent.length > 0) await print(`not asked, or without an answer: ${silent.join(", ")}\n`);
}

/** The spans below their parents. A span whose parent is not there is at the top. */
function inTree(spans: readonly Span[]): { readonly span: Span; readonly depth: number }[] {
  const ids = new Set(spans.map(({ id }) => id));
  const seen = new Set<string>();
  const below = (parent: string | null, depth: number): { readonly span: Span; readonly depth: number }[] =>
    spans
      .filter((span) => (parent === null ? !ids.has(span.parent ?? "") : span.parent === parent))
      .flatMap((span) => {
        if (seen.has(span.id)) return [];
        seen.add(span.id);
        return [{ span, depth }, ...below(span.id, depth + 1)];
      });
  return below(null, 0);
}

function msText(ms: number): string {
  return `${Number(ms.toPrecision(4))} ms`;
}
