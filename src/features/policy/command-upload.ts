/** Changes of the active policy of a running node: an upload or a rollback, and why the node refused it. */
import { z } from "zod";
import type { Endpoint } from "../../http/endpoint.ts";
import type { Diagnostic } from "../../polar/diagnostic.ts";
import { renderDiagnostics } from "../../polar/render.ts";
import { lineStarts, startsOf, type Source } from "../../polar/source.ts";
import { printColored, wantsColor } from "../../runtime/process.ts";
import { must } from "../../util/assert.ts";
import { printFailure } from "../../cli/color.ts";
import { errorFrom, requestNode, requestOf, type NodeAccess } from "../../cli/node-api.ts";

export interface PolicyChange {
  readonly result: "loaded" | "unchanged";
  /** The active version; null if a node of release 0.1.0 does not name it. */
  readonly id: number | null;
  readonly warning?: string | undefined;
  /** The answer of a node that refuses the policy, whose problems are printed. */
  readonly refused?: unknown;
}

/** A policy waits for its turn on the node, and its check takes up to 20 s. */
const timeoutMs = 90_000;

/** Sends a change. Throws AppError if the node refuses the request for another reason than the policy. */
export async function changePolicy(
  access: NodeAccess,
  endpoint: Endpoint,
  body: object,
  { force, json }: { readonly force?: true; readonly json?: true },
  sources: readonly Source[] = [],
): Promise<PolicyChange> {
  const request = requestOf(endpoint, { query: { force: force && "true" }, body, timeoutMs });
  const response = await requestNode(access, request);
  const result = response.status === 202 ? "unchanged" : "loaded";
  if (response.ok) {
    const { message = "" } = (await response.json().catch(() => ({}))) as { message?: string };
    const id = response.headers.get("ostiary-policy-id");
    const end = message.indexOf("; ");
    return { result, id: id === null ? null : Number(id), ...(end !== -1 && { warning: message.slice(end + 2) }) };
  }
  const answer: unknown = await response
    .clone()
    .json()
    .catch(() => undefined);
  const refusal = refusalSchema.safeParse(answer);
  if (!refusal.success) throw await errorFrom(access.url, response);
  if (!json) await printRefusal(access.url, refusal.data, sources);
  return { result, id: null, refused: answer };
}

const refusalSchema = z.object({
  error_type: z.string(),
  message: z.string(),
  diagnostics: z.array(
    z.object({
      line: z.int().positive(),
      column: z.int().positive(),
      endLine: z.int().positive(),
      endColumn: z.int().positive(),
      code: z.string(),
      severity: z.enum(["error", "warning"]),
      message: z.string(),
      hint: z.string().optional(),
      notes: z.array(z.string()).optional(),
    }),
  ),
});
type Refusal = z.output<typeof refusalSchema>;

/** Prints the problems that the node found: in the files if they were uploaded, or as the node describes them. */
async function printRefusal(url: string, { message, diagnostics }: Refusal, sources: readonly Source[]): Promise<void> {
  if (sources.length === 0) return printFailure(`${url} refused the policy: ${message}`);
  await printFailure(`${url} refused the policy`);
  const found = diagnostics.map(({ line, column, endLine, endColumn, hint, notes, ...problem }): Diagnostic => {
    const start = placeIn(sources, line, column);
    const end = placeIn(sources, endLine, endColumn);
    const span = { file: start.file, start: start.offset, end: end.file === start.file ? end.offset : start.offset };
    return { ...problem, span, ...(hint !== undefined && { hint }), ...(notes !== undefined && { notes }) };
  });
  await printColored("stderr", `${renderDiagnostics(found, sources, { color: wantsColor("stderr") }).trimEnd()}\n`);
}

/** The place in the files of a position in the text that `joinSources` made of them. */
function placeIn(sources: readonly Source[], line: number, column: number): { file: string; offset: number } {
  let before = 0;
  for (const source of sources) {
    const lines = lineStarts(`${source.text}\n`).length - 1;
    if (line <= before + lines || source === sources.at(-1)) {
      const start = startsOf(source)[line - before - 1] ?? source.text.length;
      return { file: source.name, offset: Math.min(start + column - 1, source.text.length) };
    }
    before += lines;
  }
  return { file: must(sources[0]).name, offset: 0 };
}
