/** Promotion: an edge becomes the primary of all environments. If it failed for some of them, it can be repeated for those. */
import { auditDraftOf } from "../../http/middleware/audit.ts";
import { exchangeOf } from "../../http/middleware/exchange.ts";
import type { Environments } from "../../http/environments.ts";
import type { Handlers } from "../../http/router.ts";
import { withoutPeersProblem } from "../../replication/failover/fence.ts";
import type { Node, PromoteOptions } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";
import { clip } from "../../util/text-length.ts";
import type { promotionEndpoints } from "./endpoints.ts";

export function handlePromotion(
  node: Node,
  environments: Environments | undefined,
): Handlers<typeof promotionEndpoints> {
  /** A preview asks other nodes, so requests that ask the same share an answer. */
  const underWay = new Map<string, ReturnType<typeof previewOf>>();
  return {
    previewPromotion: ({ query }) => {
      const name = JSON.stringify(query);
      const shared = underWay.get(name);
      if (shared !== undefined) return shared;
      const preview = previewOf(node, environments, query).finally(() => underWay.delete(name));
      underWay.set(name, preview);
      return preview;
    },
    promote: async ({ body: wanted, request }) => {
      const exchange = exchangeOf(request);
      exchange.audited = { target: node.id, details: { ...wanted } };
      const options = { ...wanted, audit: auditDraftOf(exchange) };
      const { epoch, offset } =
        (await node.promote?.(options)) ?? (await positionOfPrimary(node, environments, options));
      const failed = await promoteOthers(environments, options);
      const message = `this node is the primary from offset ${offset} on`;
      if (failed === undefined) return { message, epoch, offset };
      const names = failed.map(({ id }) => `\`${id}\``).join(", ");
      return { message: `${message}, but not of ${names}`, epoch, offset, failed_environments: failed };
    },
  };
}

async function previewOf(
  node: Node,
  environments: Environments | undefined,
  options: Pick<PromoteOptions, "force" | "graceful">,
) {
  const own = await node.previewPromotion?.(options);
  const others = (await environments?.previewOthers(options)) ?? [];
  const isPartial = node.role === "primary" && others.length > 0;
  const isForced = node.promote !== undefined && options.force;
  const reasons = own?.reasons ?? (isPartial || isForced ? [] : [notAnEdge(node)]);
  return {
    ...{ node: node.id, role: node.role, offset: node.state()?.offset ?? null },
    ...{ possible: reasons.length === 0, reasons, warnings: own?.warnings ?? [] },
    primary: own?.primary ?? null,
    nodes: (own?.nodes ?? []).map(({ url, node: id = null, role = null, offset = null }) => ({
      ...{ url, node: id, role, offset },
    })),
    missing_events: own?.missingEvents ?? 0,
    lost_events: own === undefined ? 0 : (own.lostEvents ?? null),
    environments: others.map(([id, preview]) => ({
      ...{ id, possible: preview.reasons.length === 0, reasons: preview.reasons, warnings: preview.warnings },
      ...{ missing_events: preview.missingEvents, lost_events: preview.lostEvents ?? null },
    })),
  };
}

function notAnEdge({ role, promote }: Node): string {
  if (promote !== undefined) return withoutPeersProblem;
  return `this is a ${role}, only an edge can be promoted`;
}

/** Of a primary that is not the primary of all environments yet. Throws AppError `conflict` on other nodes. */
async function positionOfPrimary(node: Node, environments: Environments | undefined, options: PromoteOptions) {
  const state = node.state();
  if (node.role === "primary" && state !== undefined && (await environments?.previewOthers(options))?.length)
    return { epoch: state.epoch, offset: state.offset };
  throw new AppError("conflict", notAnEdge(node));
}

/** The failures of `promoteOthers` as members of a response; none without failures. */
async function promoteOthers(environments: Environments | undefined, options: PromoteOptions) {
  const failed = (await environments?.promoteOthers(options)) ?? [];
  if (failed.length === 0) return undefined;
  return failed.map(({ id, reason }) => ({ id, reason: clip(reason, reasonCharactersMax) }));
}

const reasonCharactersMax = 300;
