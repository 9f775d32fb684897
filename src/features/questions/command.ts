/** `ostiary authorize`, `authorize-resources`, `list`, `actions` and `query`: questions to a running node. */
import type { Command } from "commander";
import { authorizeEndpoints, questionEndpoints } from "./endpoints.ts";
import type { ResponseOf } from "../../http/endpoint.ts";
import type { Fact, Value } from "../../store/facts/fact.ts";
import { print, printError, printUntilClosed } from "../../runtime/process.ts";
import { AppError } from "../../util/app-error.ts";
import { printable } from "../../util/printable.ts";
import { type AddCommand, UsageError } from "../../cli/command.ts";
import { printFailure } from "../../cli/color.ts";
import { noResults } from "../../cli/table.ts";
import { accessOf, callEndpoint, type NodeAccess, withAccess } from "../../cli/node-api.ts";
import {
  formatFact,
  formatValuePattern,
  parseEntity,
  parseFactText,
  parsePatternWords,
  warnOfTypeAsString,
} from "../../cli/parse-fact.ts";

interface Options {
  readonly context?: readonly Fact[];
  readonly at?: string;
  readonly json?: true;
}

const actorText = "Its type and id, such as `User:ann`";
const actionText = "The action, such as `read`";

const authorizeDetails = `
The status is 0 if the action is allowed, 1 if it is denied, and 2 if there is no answer, so that a script that checks the
status never takes a failure for a permission.

Examples:
  ostiary authorize User:ann read Repository:compiler
  ostiary authorize User:ann read Repository:compiler -c "has_role User:ann reader Repository:compiler"
  ostiary explain User:ann read Repository:compiler            why`;

export const authorizeCommand: AddCommand = (program, finish) => {
  withContext(withAccess(program.command("authorize"), authorizeEndpoints.authorize))
    .description("Ask a running node if an action is allowed")
    .argument("<actor>", actorText)
    .argument("<action>", actionText)
    .argument("<resource>", "Its type and id, such as `Repository:compiler`")
    .option("--json", "Print JSON")
    .addHelpText("after", authorizeDetails)
    .action(async (actor: string, action: string, resource: string, options: Options, command: Command) => {
      const to = parseEntity(resource, "resource");
      const body = { ...questionOf(actor, options), action, resource_type: to.type, resource_id: to.id };
      try {
        const { allowed } = await callEndpoint(accessOf(command), authorizeEndpoints.authorize, {
          body,
          at: options.at,
        });
        await print(options.json ? `${JSON.stringify({ allowed })}\n` : allowed ? "Allowed\n" : "Denied\n");
        finish(allowed ? 0 : 1);
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        await printFailure(printable(error.message));
        finish(2);
      }
    });
};

export const authorizeResourcesCommand: AddCommand = (program) => {
  withContext(withAccess(program.command("authorize-resources"), questionEndpoints.authorizeResources))
    .description("Print on which of these resources an action is allowed, one per line")
    .argument("<actor>", actorText)
    .argument("<action>", actionText)
    .argument("<resources...>", "Their types and ids, such as `Repository:compiler`")
    .option("--json", "Print an array of resources as JSON")
    .action(async (actor: string, action: string, written: string[], options: Options, command: Command) => {
      const resources = written.map((resource) => parseEntity(resource, "resource"));
      const body = { ...questionOf(actor, options), action, resources };
      const { results } = await callEndpoint(accessOf(command), questionEndpoints.authorizeResources, {
        body,
        at: options.at,
      });
      await printLines(results, formatValuePattern, options);
    });
};

export const listCommand: AddCommand = (program) => {
  withContext(withAccess(program.command("list"), questionEndpoints.list))
    .description("Print the ids of all resources of a type on which an action is allowed, one per line")
    .argument("<actor>", actorText)
    .argument("<action>", actionText)
    .argument("<type>", "The type of the resources, such as `Repository`")
    .option("--json", "Print an array of ids as JSON")
    .addHelpText("after", "\nThe id `*` stands for all resources of the type.")
    .action(async (actor: string, action: string, type: string, options: Options, command: Command) => {
      // The node would answer that the type has no resources.
      if (/(?<!:):(?!:)/.test(type))
        throw new UsageError(`\`${type}\` is not a type; write it without an id, such as \`Repository\``);
      const body = { ...questionOf(actor, options), action, resource_type: type };
      const access = accessOf(command);
      const all: string[] = [];
      for await (const ids of listPages(access, body, options.at)) all.push(...ids);
      await printLines(all, (id) => id, options);
    });
};

export const actionsCommand: AddCommand = (program) => {
  withContext(withAccess(program.command("actions"), questionEndpoints.actions))
    .description("Print the actions that are allowed on a resource, one per line")
    .argument("<actor>", actorText)
    .argument("<resource>", "Its type and id, such as `Repository:compiler`")
    .option("--json", "Print an array of actions as JSON")
    .action(async (actor: string, resource: string, options: Options, command: Command) => {
      const to = parseEntity(resource, "resource");
      const body = { ...questionOf(actor, options), resource_type: to.type, resource_id: to.id };
      const { results } = await callEndpoint(accessOf(command), questionEndpoints.actions, { body, at: options.at });
      await printLines(results, (action) => action, options);
    });
};

const queryDetails = `
The arguments are as in \`ostiary get\`, but rules count as well as stored facts. In the output \`_\` stands for any value.

Examples:
  ostiary query has_role User:ann String:_ Repository:compiler       Ann's roles, also those that follow from others
  ostiary query allow User:_ read Repository:compiler                who can read it`;

export const queryCommand: AddCommand = (program) => {
  withContext(withAccess(program.command("query"), questionEndpoints.query))
    .description("Print the facts, stored or derived by rules, that match a pattern, one per line")
    .argument("<predicate>", "The predicate of a fact or a rule")
    .argument("[values...]", "Its arguments, which can have wildcards: `User:ann`, `User:_`, `_`")
    .option("--json", "Print an array of facts as JSON, with `null` for any type or id")
    .addHelpText("after", queryDetails)
    .action(async (name: string, values: string[], options: Options, command: Command) => {
      const fact = parsePatternWords([name, ...values]);
      if (fact.predicate === null) throw new UsageError("`query` needs the name of a predicate, such as `has_role`");
      const body = { fact, context_facts: options.context ?? [] };
      const { results } = await callEndpoint(accessOf(command), questionEndpoints.query, { body, at: options.at });
      if (results.length === 0 && !options.json) await print(noResults);
      else await printLines(results, formatFact, options);
      if (results.length === 0) await warnOfTypeAsString(fact.args);
    });
};

/** Adds what all questions have: `-c` for context facts, and `--at` for an earlier moment. */
export function withContext(command: Command): Command {
  return command
    .option(
      "-c, --context <fact>",
      "A context fact, for this question only, such as `has_role User:ann reader Repository:x`; can be repeated",
      (written: string, others: readonly Fact[] = []) => [...others, parseFactText(written)],
    )
    .option(
      "--at <moment>",
      "Ask about an earlier moment: an offset such as `4711`, or a time such as `2026-05-03T14:00:00Z`",
      (written: string) => {
        // A header has no other characters.
        if (/^[!-~]+$/.test(written)) return written;
        throw new UsageError(`\`${printable(written)}\` is no moment, such as \`4711\` or \`2026-05-03T14:00:00Z\``);
      },
    );
}

function questionOf(actor: string, { context = [] }: Options) {
  const { type, id }: Value = parseEntity(actor, "actor");
  return { actor_type: type, actor_id: id, context_facts: context };
}

const listPageSize = 10_000;

/** A list of an earlier moment has no pages. */
async function* listPages(access: NodeAccess, question: object, at: string | undefined): AsyncGenerator<string[]> {
  let token: string | null = null;
  do {
    const size = at === undefined ? { page_size: listPageSize } : {};
    const body = { ...question, ...size, ...(token !== null && { page_token: token }) };
    const page: ResponseOf<typeof questionEndpoints.list> = await callEndpoint(access, questionEndpoints.list, {
      body,
      at,
    });
    yield page.results;
    token = page.next_page_token ?? null;
  } while (token !== null);
}

async function printLines<Item>(items: readonly Item[], format: (item: Item) => string, options: Options) {
  if (options.json) return print(`${JSON.stringify(items, null, 2)}\n`);
  if (items.length === 0) return printError(noResults);
  await printUntilClosed(items.map((item) => `${printable(format(item))}\n`).join(""));
}
