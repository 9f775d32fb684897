/** `ostiary explain`: prints why a running node allows or denies an action, from its API. */
import type { Command } from "commander";
import { explanationSchema } from "../engine/explain/explanation.ts";
import { explanationLines } from "../engine/explain/explanation-text.ts";
import type { Fact } from "../store/facts/fact.ts";
import { print } from "../runtime/process.ts";
import { AppError } from "../util/app-error.ts";
import { printable } from "../util/printable.ts";
import type { AddCommand } from "./command.ts";
import { accessOf, callNode, withAccess } from "./node-api.ts";
import { parseEntity } from "./parse-fact.ts";
import { withContext } from "./questions.ts";

/** A denial can have hundreds of lines, the most successful attempts first. */
const linesMax = 80;

const details = `
The status is 0 for an explanation of any decision, and 1 if there is no explanation.

Examples:
  ostiary explain User:ann read Repository:compiler
  ostiary explain User:ann read Repository:compiler --context 'has_role(User:ann, "reader", Repository:compiler)'
  ostiary explain 'User{"ann"}' read 'Repository{"compiler"}' --json`;

export const explainCommand: AddCommand = (program) => {
  const command = withContext(program.command("explain"))
    .description("Explain why a running node allows or denies an action: the rules, the facts, and missing facts")
    .argument("<actor>", "Its type and id, such as `User:ann`")
    .argument("<action>", "The action, such as `read`")
    .argument("<resource>", "Its type and id, such as `Repository:compiler`")
    .option("--json", "Print the whole explanation as JSON");
  withAccess(command, "read")
    .addHelpText("after", details)
    .action(async (actor: string, action: string, resource: string, options: Options, self: Command) => {
      const [from, to] = [parseEntity(actor, "actor"), parseEntity(resource, "resource")];
      const answer = await callNode(accessOf(self, "read"), "POST", "/api/explain", {
        actor_type: from.type,
        actor_id: from.id,
        action,
        resource_type: to.type,
        resource_id: to.id,
        context_facts: options.context ?? [],
      });
      await print(options.json ? `${JSON.stringify(answer, null, 2)}\n` : render(answer));
    });
};

interface Options {
  readonly context?: readonly Fact[];
  readonly json?: true;
}

function render(answer: unknown): string {
  const parsed = explanationSchema.safeParse(answer);
  if (!parsed.success) throw new AppError("invalid_request", "the response of the node has another format; try --json");
  const lines = explanationLines(parsed.data).map(printable);
  const shown =
    lines.length > linesMax
      ? [...lines.slice(0, linesMax), `… ${lines.length - linesMax} more lines; --json has all`]
      : lines;
  return `${shown.join("\n")}\n`;
}
