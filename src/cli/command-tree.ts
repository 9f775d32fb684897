/** The commands of the program as data, for the completion of shells and the manual page. */
import type { Argument, Command, Option } from "commander";
import { settings } from "../config/settings.ts";

/** What a shell can complete as a value. */
export type ValueKind = "policy" | "file" | "directory" | "choice" | "none";

export interface CommandNode {
  /** The words after the name of the program: empty for the program, `["keys", "create"]`. */
  readonly path: readonly string[];
  readonly description: string;
  readonly options: readonly CommandOption[];
  readonly args: readonly CommandArgument[];
  readonly subcommands: readonly CommandNode[];
  readonly command: Command;
}

export interface Completable {
  readonly kind: ValueKind;
  readonly choices: readonly string[];
  readonly description: string;
}

export interface CommandOption extends Completable {
  /** Such as `-c` and `--context`. */
  readonly names: readonly string[];
  readonly flags: string;
  readonly takesValue: boolean;
  readonly repeatable: boolean;
}

export interface CommandArgument extends Completable {
  readonly name: string;
  readonly variadic: boolean;
}

export function commandTree(command: Command, path: readonly string[] = []): CommandNode {
  const help = command.createHelp();
  return {
    path,
    description: command.description(),
    options: help.visibleOptions(command).map(optionOf),
    args: command.registeredArguments.map(argumentOf),
    subcommands: help.visibleCommands(command).map((child) => commandTree(child, [...path, child.name()])),
    command,
  };
}

/** The command and all commands below it. */
export function allCommands(node: CommandNode): CommandNode[] {
  return [node, ...node.subcommands.flatMap(allCommands)];
}

function optionOf(option: Option): CommandOption {
  const placeholder = /[<[]([\w-]+)/.exec(option.flags)?.[1];
  return {
    names: [option.short, option.long].filter((name) => name !== undefined && name !== null),
    flags: option.flags,
    takesValue: option.required || option.optional,
    repeatable: option.description.endsWith("can be repeated"),
    ...completable(placeholder ?? "", option, option.argChoices ?? settingChoices(option)),
  };
}

function argumentOf(argument: Argument): CommandArgument {
  return {
    name: argument.name(),
    variadic: argument.variadic,
    ...completable(argument.name(), argument, argument.argChoices),
  };
}

function completable(
  name: string,
  { description }: Option | Argument,
  choices: readonly string[] | undefined,
): Completable {
  return { kind: kindOf(name, description, choices), choices: choices ?? [], description };
}

/** The words that a setting allows, if it allows nothing else: "`primary`, `edge` or `fallback`". */
function settingChoices(option: Option): string[] | undefined {
  const allowed = settings.find(({ flag }) => flag === option.long)?.allowed ?? "";
  if (!/^`[\w-]+`(?:(?:, | or )`[\w-]+`)+$/.test(allowed)) return undefined;
  return [...allowed.matchAll(/[\w-]+(?=`)/g)].map(([word]) => word);
}

function kindOf(name: string, description: string, choices: readonly string[] | undefined): ValueKind {
  if (choices !== undefined) return "choice";
  if (name.startsWith("dir")) return "directory";
  if (!/^files?\b/.test(name)) return "none";
  return /polic/i.test(description) ? "policy" : "file";
}
