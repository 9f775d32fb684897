/** `ostiary man`: prints the manual page of the program, made from its commands. */
import type { Command } from "commander";
import { print } from "../runtime/process.ts";
import { build } from "../runtime/version.ts";
import type { AddCommand } from "./command.ts";
import { allCommands, commandTree, type CommandNode } from "./command-tree.ts";

export const manCommand: AddCommand = (program) => {
  program
    .command("man")
    .description("Print the manual page in roff, for `man`")
    .addHelpText(
      "after",
      "\nExamples:\n  ostiary man | man -l -                                             read it\n  ostiary man > /usr/local/share/man/man1/ostiary.1                  install it",
    )
    .action(() => print(manualPage(commandTree(program))));
};

const variables: readonly (readonly [name: string, meaning: string])[] = [
  ["OSO_URL", "The URL of the node for commands that ask one (default: http://127.0.0.1:8080)."],
  ["OSO_AUTH", "The API key for these commands."],
  ["OSO_ENVIRONMENT", "Without OSO_AUTH: the environment in which a login is used (default: the default one)."],
  ["OSO_PORT, OSO_DIRECTORY", "The port and the data directory of `ostiary dev`."],
  ["OSTIARY_*", "The settings of a node; `ostiary serve --help` names the variable of each."],
  ["NO_COLOR, FORCE_COLOR", "Turn colours off, or on without a terminal."],
];

const statuses: readonly (readonly [status: string, meaning: string])[] = [
  ["0", "Success. For `authorize`: the action is allowed."],
  ["1", "A failure, or problems in a policy. For `authorize`: the action is denied."],
  ["2", "Wrong usage. For `authorize`: also a failure, so that there is no answer."],
];

function manualPage(program: CommandNode): string {
  const commands = allCommands(program).filter(
    ({ path, args, subcommands }) => (subcommands.length === 0 || args.length > 0) && path.at(-1) !== "help",
  );
  return [
    `.TH OSTIARY 1 "" "ostiary ${build.version}" "User Commands"`,
    ".SH NAME",
    "ostiary \\- self-hosted authorization service",
    ".SH SYNOPSIS",
    ".B ostiary",
    ".I command",
    "[options] [arguments]",
    ".SH DESCRIPTION",
    roff(program.description),
    ".SH COMMANDS",
    ...commands.flatMap(commandSection),
    ".SH ENVIRONMENT",
    ...variables.flatMap(([name, meaning]) => [".TP", `.B ${roff(name)}`, roff(meaning)]),
    ".SH EXIT STATUS",
    ...statuses.flatMap(([status, meaning]) => [".TP", `.B ${status}`, roff(meaning)]),
    "",
  ].join("\n");
}

function commandSection({ path, description, args, options, command }: CommandNode): string[] {
  const usage = command.createHelp().commandUsage(command);
  const after = helpAfter(command);
  return [
    `.SS ${roff(path.join(" "))}`,
    `.B ${roff(usage)}`,
    ".PP",
    roff(description),
    ...args.flatMap(({ name, description: text, choices }) => [".TP", `.I ${roff(name)}`, described(text, choices)]),
    ...options.flatMap(({ flags, description: text, choices }) => [
      ".TP",
      `.B ${roff(flags)}`,
      described(text, choices),
    ]),
    ...(after === "" ? [] : [".PP", ".nf", roff(after), ".fi"]),
  ];
}

function described(text: string, choices: readonly string[]): string {
  return roff(choices.length === 0 ? text : `${text} (${choices.join(", ")})`);
}

/** The text that `--help` shows after the options. */
function helpAfter(command: Command): string {
  let text = "";
  command.configureOutput({ writeOut: (part) => void (text += part) }).outputHelp();
  return text.slice(command.helpInformation().length).trim();
}

/** Escapes text for roff: backslashes, hyphens that must not become other characters, and lines that look like requests. */
function roff(text: string): string {
  return text
    .replaceAll("\\", String.raw`\e`)
    .replaceAll("-", String.raw`\-`)
    .replaceAll(/^(?=[.'])/gm, String.raw`\&`)
    .replaceAll(
      /[^\0-\x7f]/gu,
      (character) => `\\[u${character.codePointAt(0)?.toString(16).toUpperCase().padStart(4, "0")}]`,
    );
}
