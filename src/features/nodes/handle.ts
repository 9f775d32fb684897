/**
 * All nodes of the environment, as this node knows them, and when each of them had applied an event. They work on a node
 * whose database is behind: that is when an operator needs them.
 */
import type { Handlers } from "../../http/router.ts";
import type { Node } from "../../replication/node.ts";
import type { SurveyedNode } from "../../replication/transport/reports.ts";
import { AppError } from "../../util/app-error.ts";
import { clip } from "../../util/text-length.ts";
import type { nodeEndpoints } from "./endpoints.ts";

export function handleNodes(node: Node): Handlers<typeof nodeEndpoints> {
  return {
    getNodes: async () => ({
      asked: node.id,
      environment: node.environment,
      nodes: inOrder(await node.survey({})).map(nodeOf),
    }),
    getEventApplied: async ({ params }) => {
      const offset = offsetIn(params.offset);
      const head = node.state()?.offset ?? 0;
      const surveyed = inOrder(await node.survey({ offset }));
      if (surveyed.every((each) => (each.offset ?? 0) < offset))
        throw new AppError("not_found", `no event has the offset \`${offset}\` yet, the last one here is ${head}`);
      const committedMs = surveyed.find(({ role }) => role === "primary")?.applied_ms ?? null;
      return {
        offset: String(offset),
        committed: timeText(committedMs),
        nodes: surveyed.map((each) => ({
          node: each.node,
          role: each.role,
          has_event: each.offset === null ? null : each.offset >= offset,
          applied: timeText(each.applied_ms ?? null),
          after_ms: afterMs(each.applied_ms ?? null, committedMs),
          answered: each.answered,
        })),
      };
    },
  };
}

const roleOrder = ["primary", "edge", "fallback"];

function inOrder(nodes: readonly SurveyedNode[]): SurveyedNode[] {
  return nodes.toSorted((a, b) => roleOrder.indexOf(a.role) - roleOrder.indexOf(b.role) || (a.node < b.node ? -1 : 1));
}

function nodeOf({ question: _question, spans: _spans, applied_ms: _applied, ...node }: SurveyedNode) {
  return node;
}

function offsetIn(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw new AppError("invalid_request", `\`${clip(text, 64)}\` in the path is not the offset of an event`);
}

/** The clocks of two machines differ, so an event can seem to arrive before its commit. */
function afterMs(appliedMs: number | null, committedMs: number | null): number | null {
  if (appliedMs === null || committedMs === null) return null;
  return Math.max(0, Math.round((appliedMs - committedMs) * 1000) / 1000);
}

function timeText(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
