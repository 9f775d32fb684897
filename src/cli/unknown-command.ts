/** The message about an unknown command: a command with a similar name, or the one that does the job of this name. */
import { existsSync } from "node:fs";
import type { Command } from "commander";
import { suggestion } from "../util/suggestion.ts";
import { printable } from "../util/printable.ts";

/** Names that other programs have for a task, each with the command that does it here. */
const tasks: readonly (readonly [names: string, command: string, job: string])[] = [
  ["insert add create assert write put fact", "tell", "stores a fact"],
  ["rm remove revoke retract del unset", "delete", "deletes facts"],
  ["facts read show dump ls", "get", "prints facts"],
  ["find search describe", "inspect", "prints all facts about a value"],
  ["wipe reset truncate flush purge clear-data clear_data delete-all", "clear", "deletes all facts"],
  [
    "can check allow allowed is-allowed enforce can-i",
    "authorize",
    "asks if an action is allowed, and `ostiary validate` checks a policy",
  ],
  ["why debug trace", "explain", "says why an action is allowed or denied"],
  ["resources list-resources list-objects lookup", "list", "lists the resources on which an action is allowed"],
  ["permissions list-actions", "actions", "lists the actions that are allowed on a resource"],
  ["ask select evaluate eval evaluate-query expand who-can", "query", "prints facts, stored or derived"],
  ["lint verify compile check-policy", "validate", "checks a policy"],
  ["format prettify", "fmt", "formats a policy"],
  ["tests run-tests spec", "test", "runs the tests of a policy"],
  ["types codegen generate gen typegen", "generate-types", "writes types for clients"],
  ["start server daemon up node primary edge fallback", "serve", "runs a node; `ostiary dev` runs one for development"],
  ["run develop local playground", "dev", "runs a node for development"],
  ["settings configuration", "config", "prints the settings"],
  ["key token tokens apikeys api-keys login", "keys", "manages API keys"],
  ["environment environments envs tenant tenants", "env", "manages environments"],
  ["watch log logs tail changes", "events", "prints the changes of a node"],
  ["status ping ready healthcheck", "health", "asks a node if it can answer"],
  ["failover takeover", "promote", "makes an edge the primary"],
  ["save", "backup", "writes a backup; `ostiary snapshot create` writes a snapshot"],
  ["recover", "restore", "restores a backup"],
  ["sql query-plan analyze", "plan", "prints how a question is answered"],
  ["completions", "completion", "prints the completion for a shell"],
  ["manual docs", "man", "prints the manual page"],
  ["load upload push deploy apply policies", "policy", "loads a policy into a node"],
  ["sync experimental", "reconcile", "makes the facts of a node equal to those of a database"],
  ["rollback revert", "policy rollback", "goes back to an older version of the policy"],
  ["diff compare", "policy diff", "compares versions of the policy"],
  ["history versions", "policy history", "lists the versions of the policy, and `ostiary events` prints all changes"],
  ["bulk batch bulk-load bulk_load bulk-tell load-facts", "import facts", "inserts the facts of a file"],
  ["translate convert openfga spicedb", "import", "loads facts, and translates policies of OpenFGA and SpiceDB"],
];

/** Such names of subcommands, each with the command that does the job. */
const subcommandTasks: readonly (readonly [parent: string, names: string, command: string])[] = [
  ["keys", "add new", "keys create"],
  ["keys", "show ls get", "keys list"],
  ["keys", "delete remove rm", "keys revoke"],
  ["env", "add new make", "env create"],
  ["env", "show ls get", "env list"],
  ["env", "clone duplicate cp", "env copy"],
  ["env", "remove rm drop destroy", "env delete"],
  ["env", "undelete undo recover", "env restore"],
  ["env", "mv name", "env rename"],
  ["snapshot", "export make", "snapshot create"],
  ["snapshot", "show verify", "snapshot inspect"],
  ["snapshot", "load restore", "snapshot import"],
  ["policy", "upload load push set apply deploy", "policy FILE…"],
  ["policy", "list ls log versions", "policy history"],
  ["policy", "get print cat", "policy show"],
  ["policy", "revert restore undo", "policy rollback"],
  ["policy", "compare", "policy diff"],
  ["policy", "validate check lint", "validate FILE…"],
  ["policy", "test", "test FILE…"],
  ["import", "fact csv json ndjson", "import facts"],
];

/** The message if the words name a command that does not exist; undefined if they name one. */
export function describeUnknownCommand(program: Command, words: readonly string[]): string | undefined {
  let command = program;
  for (const word of words) {
    if (command.commands.length === 0 || word.startsWith("-") || word === "help") return undefined;
    const next = command.commands.find((known) => known.name() === word || known.aliases().includes(word));
    if (next === undefined) return messageFor(command, word);
    command = next;
  }
  return undefined;
}

function messageFor(parent: Command, word: string): string | undefined {
  const hint = jobOf(parent, word.toLowerCase()) ?? similarTo(parent, word);
  // The word is an argument, if the command takes files beside its subcommands.
  if (parent.registeredArguments.length > 0 && (hint === undefined || existsSync(word))) return undefined;
  const path = parent.parent === null ? "" : `${parent.name()} `;
  const unknown = `\`ostiary ${path}${printable(word)}\` is not a command`;
  return `${unknown}${hint === undefined ? "" : `; ${hint}`}; \`ostiary ${path}--help\` lists the commands`;
}

function jobOf(parent: Command, word: string): string | undefined {
  if (parent.parent !== null) {
    const [, , command] =
      subcommandTasks.find(([name, names]) => name === parent.name() && names.split(" ").includes(word)) ?? [];
    return command && `use \`ostiary ${command}\``;
  }
  const [, name, job] = tasks.find(([names]) => names.split(" ").includes(word)) ?? [];
  return name && `\`ostiary ${name}\` ${job}`;
}

function similarTo(parent: Command, word: string): string | undefined {
  const name = suggestion(
    word,
    parent.commands.map((command) => command.name()),
  );
  return name && `did you mean \`${name}\`?`;
}
