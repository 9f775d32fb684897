/** `ostiary events`: prints the change feed of a running node, as text or as JSON. */
import type { Command } from "commander";
import { z } from "zod";
import { printError, printUntilClosed, stopSignal } from "../runtime/process.ts";
import { AppError } from "../util/app-error.ts";
import { UsageError, type AddCommand } from "./command.ts";
import { eventHeadings, eventLines } from "./event-lines.ts";
import { followEvents } from "./follow-events.ts";
import { accessOf, callNode, withAccess, type NodeAccess } from "./node-api.ts";

const details = `
A position is an offset or, better, the id of an event (\`epoch:offset\`), which is refused if it does not belong to the
history of the node. The status is 1 if the log does not contain the position any more, or if no history has it.

Examples:
  ostiary events                          all events in the log of the node
  ostiary events --follow                 new events until Ctrl-C; it reconnects after an interruption and misses none
  ostiary events --after 1000 --follow --json | jq 'select(.type == "ostiary.facts.changed") | .data'`;

interface Options {
  readonly follow?: true;
  readonly after?: string;
  readonly json?: true;
}

export const eventsCommand: AddCommand = (program) => {
  const command = program
    .command("events")
    .description("Print the changes of facts, policy and API keys on a running node, in order")
    .option("--follow", "Print new events as they occur")
    .option("--after <position>", "Begin after this position (default: the whole log; with --follow, now)")
    .option("--json", "Print CloudEvents, one per line");
  withAccess(command, "read")
    .addHelpText("after", details)
    .action(async ({ follow, after, json }: Options, self: Command) => {
      if (after !== undefined && !/^(?:[0-9a-f]{16}:)?\d{1,15}$/.test(after))
        throw new UsageError(`\`${after}\` is not a position in a log; use an offset or the id of an event`);
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
  let [position, heading] = [after, headings];
  for (;;) {
    const query = new URLSearchParams({ limit: "1000", ...(position !== undefined && { after: position }) });
    const answer = page.safeParse(await callNode(access, "GET", `/api/events?${query}`));
    if (!answer.success)
      throw new AppError(
        "invalid_request",
        "the response of the node is not a page of events; the node may have another version",
      );
    const { events, next, head } = answer.data;
    if (!(await printUntilClosed(heading + events.map(textOf).join("")))) return;
    heading = "";
    if (next === head || events.length === 0) return;
    position = next;
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
