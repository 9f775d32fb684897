/**
 * `ostiary promote`: makes an edge the primary, for an operator or another program. With `failover` the node also needs
 * the lease.
 */
import type { Command } from "commander";
import { keepFilesPrivate, print } from "../runtime/process.ts";
import { printable } from "../util/printable.ts";
import { printFailure } from "./color.ts";
import type { AddCommand } from "./command.ts";
import { accessOf, callNode, withAccess } from "./node-api.ts";

interface Promoted {
  readonly epoch: string;
  readonly offset: number;
  readonly failed_environments?: readonly { readonly id: string; readonly reason: string }[];
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
    .option("--json", "Print JSON")
    .action(async (options: { force?: true; graceful?: true; json?: true }, command: Command) => {
      keepFilesPrivate();
      const access = accessOf(command, "admin");
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
