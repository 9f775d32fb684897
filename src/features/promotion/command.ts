/**
 * `ostiary promote`: makes an edge the primary, for an operator or another program. With `failover` the node also needs
 * the lease.
 */
import type { Command } from "commander";
import { promotionEndpoints } from "./endpoints.ts";
import type { ResponseOf } from "../../http/endpoint.ts";
import { keepFilesPrivate, print } from "../../runtime/process.ts";
import { printable } from "../../util/printable.ts";
import { printFailure } from "../../cli/color.ts";
import type { AddCommand } from "../../cli/command.ts";
import { accessOf, callEndpoint, type NodeAccess, withAccess } from "../../cli/node-api.ts";

interface Options {
  readonly force?: true;
  readonly graceful?: true;
  readonly dryRun?: true;
  readonly json?: true;
}

/** Each environment can wait for its lease, at most one and a half minutes. */
const timeoutMs = 300_000;

export const promoteCommand: AddCommand = (program, finish) => {
  withAccess(program.command("promote"), promotionEndpoints.promote)
    .description(
      "Make an edge the primary of all its environments, under a new epoch. The edge first fetches missing events from its peers. The promotion is refused while the old primary answers, if another node has more events or is being promoted, and with `ack` if so many edges are unreachable that only they may have an acknowledged write. With `failover` it waits for the lease, at most one and a half times its time to live",
    )
    .option(
      "--force",
      "Promote even then. Writes that the old primary accepts until it learns of the promotion are lost. With `failover` the node also takes the lease from its holder",
    )
    .option(
      "--graceful",
      "Replace a primary that answers: it hands over all events, refuses writes meanwhile (clients can repeat them) and continues as an edge",
    )
    .option(
      "--dry-run",
      "Only print what would prevent the promotion and what it would lose; status 1 if it is refused",
    )
    .option("--json", "Print JSON")
    .action(async (options: Options, command: Command) => {
      keepFilesPrivate();
      const access = accessOf(command);
      if (options.dryRun) return finish((await printPreview(access, options)) ? 0 : 1);
      const body = { force: options.force ?? false, graceful: options.graceful ?? false };
      const promoted = await callEndpoint(access, promotionEndpoints.promote, { body, timeoutMs });
      const failed = promoted.failed_environments ?? [];
      await print(
        options.json
          ? `${JSON.stringify(promoted)}\n`
          : `${access.url} is now the primary, with epoch ${promoted.epoch} from offset ${promoted.offset} on\n`,
      );
      for (const { id, reason } of failed)
        await printFailure(`it is not the primary of ${printable(id)}: ${printable(reason)}`);
      if (failed.length > 0) finish(1);
    });
};

type Preview = ResponseOf<typeof promotionEndpoints.previewPromotion>;
type Outcome = Pick<Preview, "reasons" | "warnings" | "missing_events" | "lost_events">;

/** Returns whether nothing that is known prevents the promotion. */
async function printPreview(access: NodeAccess, { force, graceful, json }: Options): Promise<boolean> {
  const query = { force: force && "true", graceful: graceful && "true" };
  const request = { query, timeoutMs: previewTimeoutMs };
  const found = await callEndpoint(access, promotionEndpoints.previewPromotion, request);
  const lines = previewLines(access.url, found).map((line) => `${printable(line)}\n`);
  await print(json ? `${JSON.stringify(found)}\n` : lines.join(""));
  return found.possible && found.environments.every(({ possible }) => possible);
}

/** The node asks others, and the coordination service. */
const previewTimeoutMs = 60_000;

function previewLines(url: string, found: Preview): string[] {
  const { node, offset, primary, nodes, environments } = found;
  const verdict = found.possible ? "can become the primary" : "would not become the primary";
  const others = nodes.map(({ url: address, node: id, role, offset: theirs }) =>
    id === null ? `  other node  ${address} does not answer` : `  other node  ${id}, ${role}, at offset ${theirs}`,
  );
  return [
    `${url} ${verdict}`,
    `  this node   ${node}, at offset ${offset ?? "-"}`,
    ...(primary === null ? [] : [`  primary     ${primary.url} ${primary.answers ? "answers" : "does not answer"}`]),
    ...others,
    ...outcomeLines(found),
    ...environments.flatMap((each) => [`  environment ${each.id}`, ...outcomeLines(each).map((line) => `  ${line}`)]),
  ];
}

function outcomeLines({ reasons, warnings, missing_events: missing, lost_events: lost }: Outcome) {
  return [
    `  missing     ${missing} events, which this node fetches first`,
    `  lost        ${lost === null ? "not known: the position of the primary is not known" : `${lost} known events`}`,
    ...reasons.map((reason) => `  refused     ${reason}`),
    ...warnings.map((warning) => `  warning     ${warning}`),
  ];
}
