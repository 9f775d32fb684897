/** `ostiary tell`, `delete`, `get`, `inspect` and `clear`: the stored facts of a running node. */
import type { Command } from "commander";
import { factEndpoints } from "./endpoints.ts";
import type { Fact } from "../../store/facts/fact.ts";
import { print, printError, printUntilClosed } from "../../runtime/process.ts";
import { printable } from "../../util/printable.ts";
import { printWarning } from "../../cli/color.ts";
import { type AddCommand, UsageError } from "../../cli/command.ts";
import { accessOf, askEndpoint, callEndpoint, type NodeAccess, withAccess } from "../../cli/node-api.ts";
import {
  anyValue,
  countFacts,
  formatFact,
  parseFactWords,
  parsePatternWord,
  parsePatternWords,
  warnOfTypeAsString,
} from "../../cli/parse-fact.ts";
import { withProgress } from "../../cli/progress-line.ts";
import { noResults } from "../../cli/table.ts";
import { deleteFacts, type FactFilter, readFacts, readObjectFacts, sendBatch } from "../../cli/stored-facts.ts";

const syntax = `
A value is Type:id, and a text without a type is a string (String:text). The id is everything after the first colon; in
quotes it can have any characters (User:"a b"). Numbers and booleans need their type: Integer:5, Boolean:true. A whole
fact can also be one word: 'has_role(User:ann, "reader", Repository:x)'.
`;

const wildcards = `${syntax}
\`_\` stands for any type or any id, alone for both: \`User:_\` is every user, \`_:ann\` every value with the id \`ann\`.
Write \`User:"_"\` for the id \`_\` itself.
`;

interface JsonOption {
  readonly json?: true;
}

export const tellCommand: AddCommand = (program) => {
  withAccess(program.command("tell"), factEndpoints.batch)
    .description("Store a fact on a running node; it is no error if it is stored already")
    .argument("<predicate>", "The predicate, such as `has_role`")
    .argument("[values...]", "Its arguments")
    .option("--json", "Print the number of inserted facts as JSON")
    .addHelpText("after", `${syntax}\nExamples:\n  ostiary tell has_role User:ann owner Organization:acme`)
    .action(async (predicate: string, values: string[], options: JsonOption, command: Command) => {
      const fact = parseFactWords([predicate, ...values]);
      const { inserted } = await sendBatch(accessOf(command), [{ inserts: [fact] }], callEndpoint);
      const text = inserted === 0 ? "was stored already" : "stored";
      await print(options.json ? `${JSON.stringify({ inserted })}\n` : `${printable(formatFact(fact))} ${text}\n`);
    });
};

const deletion = `
A pattern has as many arguments as the facts. A node deletes at most 10,000 facts (\`wildcardDeleteFactsMax\`) in one
transaction. If more facts match, the command deletes them in several transactions and shows its progress; after an
interruption, run it again.

Examples:
  ostiary delete has_role User:ann owner Organization:acme
  ostiary delete has_role User:ann _ _                        all roles of Ann
`;

export const deleteCommand: AddCommand = (program) => {
  withAccess(program.command("delete"), factEndpoints.batch)
    .description("Delete the facts that match a pattern on a running node; it is no error if there is none")
    .argument("<predicate>", "The predicate, such as `has_role`")
    .argument("[values...]", "Its arguments, which can have wildcards")
    .option("--json", "Print the number of deleted facts as JSON")
    .addHelpText("after", wildcards + deletion)
    .action(async (name: string, values: string[], options: JsonOption, command: Command) => {
      const { predicate, args } = parsePatternWords([name, ...values]);
      if (predicate === null)
        throw new UsageError("`delete` needs the name of a predicate; `ostiary clear` deletes all facts");
      if (args.length === 0)
        throw new UsageError(`\`${predicate}\` has no arguments; write one for each of the facts, \`_\` matches all`);
      const access = accessOf(command);
      const deleted = await withProgress((progress) => {
        progress.begin(`deleting ${formatFact({ predicate, args })}`);
        return deleteFacts(access, { predicate, args }, (count) => progress.begin(`${countFacts(count)} deleted`));
      });
      await print(options.json ? `${JSON.stringify({ deleted })}\n` : `${countFacts(deleted)} deleted\n`);
      if (deleted > 0) return;
      await warnOfTypeAsString(args);
      await warnOfLonger(access, { predicate, args });
    });
};

/** Reads accept fewer arguments than a fact has, so a user who leaves them out here may think that the facts are gone. */
async function warnOfLonger(access: NodeAccess, pattern: FactFilter): Promise<void> {
  for await (const [longer] of readFacts(access, pattern)) {
    if (longer !== undefined && longer.args.length > pattern.args.length)
      await printWarning(
        `facts with ${longer.args.length} arguments stay, such as ${printable(formatFact(longer))}; to delete them, write all arguments, \`_\` matches all`,
      );
    return;
  }
}

export const getCommand: AddCommand = (program) => {
  withAccess(program.command("get"), factEndpoints.getFacts)
    .description("Print the stored facts of a running node that match a pattern, one per line")
    .argument("[predicate]", "The predicate; `_`, or nothing, for any")
    .argument("[values...]", "Its arguments, which can have wildcards; arguments at the end can be left out")
    .option("--json", "Print an array of facts as JSON")
    .addHelpText(
      "after",
      `${wildcards}\nThe order of the facts has no meaning.\n\nExamples:\n  ostiary get                                  all facts\n  ostiary get has_role User:_ owner _          all owners\n  ostiary get _ User:ann                       all facts that begin with Ann`,
    )
    .action(async (predicate: string | undefined, values: string[], options: JsonOption, command: Command) => {
      const pattern = parsePatternWords(predicate === undefined ? [] : [predicate, ...values]);
      await printFacts(readFacts(accessOf(command), pattern), pattern, options);
    });
};

export const inspectCommand: AddCommand = (program) => {
  withAccess(program.command("inspect"), factEndpoints.getObjectFacts)
    .description("Print the stored facts of a running node that have a value as one of their arguments")
    .argument("<value>", "The value, such as `User:ann`, which can have wildcards")
    .option("--json", "Print an array of facts as JSON")
    .addHelpText("after", `${wildcards}\nExamples:\n  ostiary inspect Repository:compiler`)
    .action(async (written: string, options: JsonOption, command: Command) => {
      const { type, id } = parsePatternWord(written);
      const access = accessOf(command);
      const filter = { predicate: null, args: [], contains: { type, id } };
      const isConcrete = type !== null && id !== null;
      await printFacts(isConcrete ? readObjectFacts(access, { type, id }) : readFacts(access, filter), filter, options);
    });
};

export const clearCommand: AddCommand = (program) => {
  withAccess(program.command("clear"), factEndpoints.clearData)
    .description("Delete all facts of a running node; its policy and its API keys stay")
    .option("--confirm", "Really delete them")
    .option("--json", "Print JSON")
    .action(async (options: JsonOption & { readonly confirm?: true }, command: Command) => {
      const access = accessOf(command);
      if (!options.confirm)
        throw new UsageError(`this deletes all facts of ${access.url}; to do it, run \`ostiary clear --confirm\``);
      await askEndpoint(access, factEndpoints.clearData);
      await print(options.json ? `${JSON.stringify({ cleared: true })}\n` : `all facts of ${access.url} deleted\n`);
    });
};

/** Prints facts as they arrive, so that their number does not matter. `filter` selected them. */
async function printFacts(
  pages: AsyncIterable<readonly Fact[]>,
  filter: FactFilter,
  { json }: JsonOption,
): Promise<void> {
  let count = 0;
  for await (const facts of pages) {
    const text = facts.map((fact) => {
      count += 1;
      return json ? `${count === 1 ? "[" : ","}\n  ${JSON.stringify(fact)}` : `${printable(formatFact(fact))}\n`;
    });
    if (!(await printUntilClosed(text.join("")))) return;
  }
  if (json) await print(count === 0 ? "[]\n" : "\n]\n");
  else if (count === 0) await printError(noResults);
  if (count === 0) await warnOfTypeAsString([...filter.args, filter.contains ?? anyValue]);
}
