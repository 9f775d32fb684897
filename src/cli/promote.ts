/** Makes an edge the primary, on the word of an operator or of a program outside. With `failover` the node needs the lease as well. */
import type { Command } from "commander";
import { keepFilesPrivate, print } from "../runtime/process.ts";
import type { AddCommand } from "./command.ts";
import { accessOf, callNode, withAccess } from "./node-api.ts";

interface Promoted {
  readonly message: string;
  readonly epoch: string;
  readonly offset: number;
}

export const promoteCommand: AddCommand = (program) => {
  withAccess(program.command("promote"), "admin")
    .description(
      "Make an edge the primary, under a new epoch: it first takes from its peers what it has not. Refused while the old primary answers, where another node has more or is promoted at the same time, and with `--ack` while so many edges can't be asked that only they may have a write that was acknowledged. With `failover` it waits for the lease: at most one and a half times its time to live",
    )
    .option(
      "--force",
      "also then: what the old primary accepts until it learns of its successor is then not part of the history that goes on; with `failover` it also takes the lease from its holder",
    )
    .option(
      "--graceful",
      "take over from a primary that answers: it hands over what it has, refuses writes meanwhile (they may be sent again) and goes on as an edge",
    )
    .option("--json", "as JSON")
    .action(async (options: { force?: true; graceful?: true; json?: true }, command: Command) => {
      keepFilesPrivate();
      const access = accessOf(command, "admin");
      const body = { force: options.force ?? false, graceful: options.graceful ?? false };
      const promoted = (await callNode(access, "POST", "/api/promote", body)) as Promoted;
      await print(
        options.json
          ? `${JSON.stringify(promoted)}\n`
          : `${access.url} is the primary now, of epoch ${promoted.epoch} from offset ${promoted.offset} on\n`,
      );
    });
};
