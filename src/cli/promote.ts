/**
 * `ostiary promote`: makes an edge the primary, for an operator or another program. With `failover` the node also needs
 * the lease.
 */
import type { Command } from "commander";
import { z } from "zod";
import { keepFilesPrivate, print } from "../runtime/process.ts";
import { printable } from "../util/printable.ts";
import { printFailure } from "./color.ts";
import type { AddCommand } from "./command.ts";
import { accessOf, callNode, expectAnswer, type NodeAccess, withAccess } from "./node-api.ts";

interface Promoted {
  readonly epoch: string;
  readonly offset: number;
  readonly failed_environments?: readonly { readonly id: string; readonly reason: string }[];
}

interface Options {
  readonly force?: true;
  readonly graceful?: true;
  readonly dryRun?: true;
  readonly json?: true;
}

/** Each environment can wait for its lease, at most one and a half minutes. */
const timeoutMs = 300_000;

export const promoteCommand: AddCommand = (program, finish) => {
  withAccess(program.command("promote"), "admin")
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
      const access = accessOf(command, "admin");
      if (options.dryRun) return finish((await printPreview(access, options)) ? 0 : 1);
      const body = { force: options.force ?? false, graceful: options.graceful ?? false };
      const promoted = (await callNode(access, "POST", "/api/promote", body, timeoutMs)) as Promoted;
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

const outcome = {
  possible: z.boolean(),
  reasons: z.array(z.string()),
  warnings: z.array(z.string()),
  missing_events: z.number(),
  lost_events: z.number().nullable(),
};
const preview = z.looseObject({
  node: z.string(),
  offset: z.number().nullable(),
  ...outcome,
  primary: z.object({ url: z.string(), answers: z.boolean() }).nullable(),
  nodes: z.array(
    z.object({
      url: z.string(),
      node: z.string().nullable(),
      role: z.string().nullable(),
      offset: z.number().nullable(),
    }),
  ),
  environments: z.array(z.looseObject({ id: z.string(), ...outcome })),
});
type Preview = z.output<typeof preview>;
type Outcome = Pick<Preview, keyof typeof outcome>;

/** Returns whether nothing that is known prevents the promotion. */
async function printPreview(access: NodeAccess, { force, graceful, json }: Options): Promise<boolean> {
  const query = new URLSearchParams({ ...(force && { force: "true" }), ...(graceful && { graceful: "true" }) });
  const answer = await callNode(access, "GET", `/api/promote?${query}`, undefined, previewTimeoutMs);
  const found = expectAnswer(preview, answer, "a preview of a promotion");
  const lines = previewLines(access.url, found).map((line) => `${printable(line)}\n`);
  await print(json ? `${JSON.stringify(answer)}\n` : lines.join(""));
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
