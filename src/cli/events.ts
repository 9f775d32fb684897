/** What happened in an environment, and what happens: the change feed of a running node, for people and for programs. */
import type { Command } from "commander";
import { z } from "zod";
import { printError, printUntilClosed, stopSignal } from "../runtime/process.ts";
import { AppError } from "../util/app-error.ts";
import { UsageError, type AddCommand } from "./command.ts";
import { eventHeadings, eventLines } from "./event-lines.ts";
import { followEvents } from "./follow-events.ts";
import { accessOf, callNode, withAccess, type NodeAccess } from "./node-api.ts";

const details = `
A place is an offset, or better the id of an event (\`epoch:offset\`), which is refused where it is part of no history any more. Where the log of the
node does not reach back to it, or no history has it, the status is 1.

Examples:
  ostiary events                          all that the node's log has
  ostiary events --follow                 what happens from now on, until Ctrl-C; it comes back after an interruption and misses nothing
  ostiary events --after 1000 --follow --json | jq 'select(.type == "ostiary.facts.changed") | .data'`;

interface Options {
  readonly follow?: true;
  readonly after?: string;
  readonly json?: true;
}

export const eventsCommand: AddCommand = (program) => {
  const command = program
    .command("events")
    .description("Show what changed facts, policy and keys on a running node, in order")
    .option("--follow", "go on with what happens")
    .option("--after <place>", "begin behind it (default: all that is kept; with --follow, what comes)")
    .option("--json", "as CloudEvents, one a line");
  withAccess(command, "read")
    .addHelpText("after", details)
    .action(async ({ follow, after, json }: Options, self: Command) => {
      if (after !== undefined && !/^(?:[0-9a-f]{16}:)?\d{1,15}$/.test(after))
        throw new UsageError(`\`${after}\` is no place in a log; write an offset, or the id of an event`);
      const access = accessOf(self, "read");
      const textOf = (event: unknown): string => (json ? `${JSON.stringify(event)}\n` : eventLines(event));
      const headings = json ? "" : eventHeadings;
      if (follow) {
        await printUntilClosed(headings);
        return followAll(access, after, textOf);
      }
      await printAll(access, after, textOf, headings);
    });
};

const page = z.object({ events: z.array(z.unknown()), next: z.string(), head: z.string() });

async function printAll(
  access: NodeAccess,
  after: string | undefined,
  textOf: (event: unknown) => string,
  headings: string,
): Promise<void> {
  let [from, above] = [after, headings];
  for (;;) {
    const query = new URLSearchParams({ limit: "1000", ...(from !== undefined && { after: from }) });
    const answer = page.safeParse(await callNode(access, "GET", `/api/events?${query}`));
    if (!answer.success)
      throw new AppError("invalid_request", "the node's answer is not a page of events, it may be of another version");
    const { events, next, head } = answer.data;
    if (!(await printUntilClosed(above + events.map(textOf).join("")))) return;
    above = "";
    if (next === head || events.length === 0) return;
    from = next;
  }
}

async function followAll(
  access: NodeAccess,
  after: string | undefined,
  textOf: (event: unknown) => string,
): Promise<void> {
  const stop = new AbortController();
  void stopSignal().then(() => stop.abort());
  await followEvents(access, after, {
    signal: stop.signal,
    async onEvent(event) {
      if (!(await printUntilClosed(textOf(event)))) stop.abort();
    },
    onInterruption: (reason) => printError(`${reason}; trying again\n`),
  });
}
