/** `ostiary explain`: prints why a running node allows or denies an action, from its API. */
import type { Command } from "commander";
import { questionEndpoints } from "./endpoints.ts";
import { type Explanation, explanationSchema } from "../../engine/explain/explanation.ts";
import { explanationLines } from "../../engine/explain/explanation-text.ts";
import type { Fact } from "../../store/facts/fact.ts";
import { print } from "../../runtime/process.ts";
import { AppError } from "../../util/app-error.ts";
import { printable } from "../../util/printable.ts";
import { readBindingsText } from "../../cli/bindings/bindings-file.ts";
import { type AddCommand, UsageError } from "../../cli/command.ts";
import { localLines, type LocalRows, readLocalRows } from "./command-explain-local.ts";
import { accessOf, askEndpoint, withAccess } from "../../cli/node-api.ts";
import { parseEntity } from "../../cli/parse-fact.ts";
import { withContext } from "./command.ts";

/** A denial can have hundreds of lines, the most successful attempts first. */
const linesMax = 80;

const details = `
With --bindings, the explanation also says which rows of the application's database would allow the action. With --db it
asks the database, and names the rows that do. --db takes a URL, or \`$NAME\` for a variable of the environment.

The status is 0 for an explanation of any decision, and 1 if there is no explanation.

Examples:
  ostiary explain User:ann read Repository:compiler
  ostiary explain User:ann read Repository:compiler --context 'has_role(User:ann, "reader", Repository:compiler)'
  ostiary explain User:ann read Repository:compiler --at 2026-05-03T14:00:00Z        why it was so on 3 May
  ostiary explain 'User{"ann"}' read 'Repository{"compiler"}' --json
  ostiary explain User:ann read Issue:7 --bindings bindings.yaml --db '$DATABASE_URL'`;

export const explainCommand: AddCommand = (program) => {
  const command = withContext(program.command("explain"))
    .description("Explain why a running node allows or denies an action: the rules, the facts, and missing facts")
    .argument("<actor>", "Its type and id, such as `User:ann`")
    .argument("<action>", "The action, such as `read`")
    .argument("<resource>", "Its type and id, such as `Repository:compiler`")
    .option("--bindings <file>", "The YAML file with data bindings of local authorization")
    .option("--bindings-name <name>", "Instead of a file, the name of data bindings that the node stores")
    .option("--db <url>", "The database of the application, to name the rows that decide")
    .option("--json", "Print the whole explanation as JSON");
  withAccess(command, questionEndpoints.explain)
    .addHelpText("after", details)
    .action(async (actor: string, action: string, resource: string, options: Options, self: Command) => {
      const [from, to] = [parseEntity(actor, "actor"), parseEntity(resource, "resource")];
      const { bindings, bindingsName, db } = options;
      if (bindings !== undefined && bindingsName !== undefined)
        throw new UsageError("`--bindings` and `--bindings-name` exclude each other");
      if (db !== undefined && bindings === undefined && bindingsName === undefined)
        throw new UsageError("`--db` needs `--bindings` or `--bindings-name`");
      const body = {
        actor_type: from.type,
        actor_id: from.id,
        action,
        resource_type: to.type,
        resource_id: to.id,
        context_facts: options.context ?? [],
        ...(bindings !== undefined && { data_bindings: await readBindingsText(bindings) }),
        ...(bindingsName !== undefined && { data_bindings_name: bindingsName }),
      };
      const answer = await askEndpoint(accessOf(self), questionEndpoints.explain, { body, at: options.at });
      const rows = db === undefined ? undefined : await rowsOf(answer, db);
      if (options.json)
        await print(`${JSON.stringify(rows === undefined ? answer : { ...(answer as object), rows }, null, 2)}\n`);
      else await print(render(answer, rows));
    });
};

interface Options {
  readonly context?: readonly Fact[];
  readonly at?: string;
  readonly bindings?: string;
  readonly bindingsName?: string;
  readonly db?: string;
  readonly json?: true;
}

async function rowsOf(answer: unknown, db: string): Promise<LocalRows> {
  const { local } = parse(answer);
  if (local === undefined)
    throw new AppError("invalid_request", "the node explains no data bindings; it may have an older version");
  return readLocalRows(local, db);
}

function parse(answer: unknown): Explanation {
  const parsed = explanationSchema.safeParse(answer);
  if (parsed.success) return parsed.data;
  throw new AppError("invalid_request", "the response of the node has another format; try --json");
}

function render(answer: unknown, rows: LocalRows | undefined): string {
  const explanation = parse(answer);
  const { local } = explanation;
  const central = explanationLines(explanation);
  const lines = (
    local === undefined ? central : [...localLines(local, rows), "without these rows", ...central.map(indent)]
  ).map(printable);
  const shown =
    lines.length > linesMax
      ? [...lines.slice(0, linesMax), `… ${lines.length - linesMax} more lines; --json has all`]
      : lines;
  return `${shown.join("\n")}\n`;
}

function indent(line: string): string {
  return `  ${line}`;
}
