/**
 * The command line: the list of all commands. Each command is a file, and writes only its result to standard output.
 */
import { Command, CommanderError } from "commander";
import { isSystemError, print, writeNow } from "../runtime/process.ts";
import { build } from "../runtime/version.ts";
import { AppError } from "../util/app-error.ts";
import { fileProblem, reasonOf } from "../util/reason.ts";
import { printable, printableLines } from "../util/printable.ts";
import { describeStorageFailure, storageFailureIn } from "../util/storage-failure.ts";
import { printFailure, paint } from "./color.ts";
import { type AddCommand, advancedHeading, type ExitStatus, firstSentence, UsageError } from "./command.ts";
import { describeUnknownCommand } from "./unknown-command.ts";

const examples = `
Examples:
  ostiary dev policy.polar                        a node for experiments, without configuration
  ostiary validate policy.polar                   check a policy
  ostiary test policy.polar                       run its test blocks
  ostiary fmt policy.polar                        format it
  ostiary explain-rules policy.polar              print its shorthand rules in longhand
  ostiary generate-types typescript policy.polar  types for clients
  ostiary plan policy.polar 'allow(User:_, read, Repository:_)'   the rules and the SQL of a query
  ostiary serve --role primary --data /var/lib/ostiary
  ostiary serve --role edge --primary http://10.0.0.1:8080      with OSTIARY_NODE_KEY in the environment
  ostiary config --role edge --primary http://10.0.0.1:8080     print the effective settings
  ostiary tell has_role User:ann reader Repository:x      store a fact; with OSO_URL and OSO_AUTH in the environment
  ostiary get has_role User:ann _ _               print facts
  ostiary authorize User:ann read Repository:x    ask if an action is allowed
  ostiary explain User:ann read Repository:x      why it is allowed or denied
  ostiary policy policy.polar                     load a policy
  ostiary policy history                          its versions; \`ostiary policy rollback 3\` goes back to one
  ostiary bindings check bindings.yaml --policy policy.polar      check the data bindings of local authorization
  ostiary metrics                                 decisions per second, their duration and more, of the last minutes
  ostiary events --follow                         the changes of facts, policy and keys
  ostiary export --out facts.ndjson               all facts, one per line; \`ostiary import facts facts.ndjson\` inserts them
  ostiary decisions --follow                      logged decisions; \`ostiary decisions explain ID\` says why
  ostiary parity --fail-on-mismatch               decisions that differ from what applications expected
  ostiary promote --url http://10.0.0.2:8080      make an edge the primary
  ostiary adopt-history 0123456789abcdef --data /var/lib/ostiary    let an edge accept another history
  ostiary backup --data /var/lib/ostiary --out monday.backup    all data in one file, while the node runs
  ostiary restore monday.backup --data /var/lib/ostiary --to-time 2026-11-26T07:00:00Z   the state at seven o'clock
  ostiary keys create --role read --name billing  with OSO_URL and OSO_AUTH in the environment
  ostiary env create staging                      another environment, with its own policy, facts and keys
  ostiary audit --follow                          what administrators do, and what was refused
  ostiary login --url https://primary.example.com     as a person, without an API key
  ostiary snapshot create --url http://10.0.0.1:8080 --out all.zst      all data without the log, for \`ostiary snapshot import\`

\`ostiary <command> --help\` describes a command.
Failures are red on a terminal. NO_COLOR=1 turns colours off, FORCE_COLOR=1 turns them on without a terminal.
`;

const commit = build.commit === null ? "" : `, commit ${build.commit}`;
const versionText = `ostiary ${build.version} (${build.runtime} ${build.runtimeVersion}${commit})`;
/** What the runtime cannot do; empty for the built binary. */
const restriction = build.restriction === null ? "" : `\n${build.restriction}`;

const versionCommand: AddCommand = (program) => {
  program
    .command("version")
    .description("Print the version")
    .option("--json", "Print JSON")
    .action(async (options: { json?: true }) => {
      await print(options.json ? `${JSON.stringify(build)}\n` : `${versionText}${restriction}\n`);
    });
};

type LoadCommand = () => Promise<AddCommand>;

/**
 * The commands by name. A command is loaded only if it runs, or if the program lists its commands: all of them together
 * take five times as long to load as one that needs no node.
 */
const commandGroups: readonly (readonly [heading: string, commands: Readonly<Record<string, LoadCommand>>])[] = [
  [
    "Nodes:",
    {
      serve: async () => (await import("./serve.ts")).serveCommand,
      dev: async () => (await import("./dev.ts")).devCommand,
      config: async () => (await import("./config.ts")).configCommand,
      health: async () => (await import("../features/health/command.ts")).healthCommand,
    },
  ],
  [
    "Policies:",
    {
      validate: async () => (await import("./validate.ts")).validateCommand,
      test: async () => (await import("./test.ts")).testCommand,
      fmt: async () => (await import("./fmt.ts")).fmtCommand,
      "explain-rules": async () => (await import("./explain-rules.ts")).explainRulesCommand,
      "generate-types": async () => (await import("./generate-types.ts")).generateTypesCommand,
      plan: async () => (await import("./plan.ts")).planCommand,
      policy: async () => (await import("../features/policy/command.ts")).policyCommand,
    },
  ],
  [
    "Facts:",
    {
      tell: async () => (await import("../features/facts/command.ts")).tellCommand,
      delete: async () => (await import("../features/facts/command.ts")).deleteCommand,
      get: async () => (await import("../features/facts/command.ts")).getCommand,
      inspect: async () => (await import("../features/facts/command.ts")).inspectCommand,
      clear: async () => (await import("../features/facts/command.ts")).clearCommand,
      export: async () => (await import("../features/facts/command-export.ts")).exportCommand,
      import: async () => (await import("./import/import.ts")).importCommand,
      reconcile: async () => (await import("./reconcile/reconcile.ts")).reconcileCommand,
      bindings: async () => (await import("../features/bindings/command.ts")).bindingsCommand,
    },
  ],
  [
    "Questions:",
    {
      authorize: async () => (await import("../features/questions/command.ts")).authorizeCommand,
      "authorize-resources": async () => (await import("../features/questions/command.ts")).authorizeResourcesCommand,
      list: async () => (await import("../features/questions/command.ts")).listCommand,
      actions: async () => (await import("../features/questions/command.ts")).actionsCommand,
      query: async () => (await import("../features/questions/command.ts")).queryCommand,
      explain: async () => (await import("../features/questions/command-explain.ts")).explainCommand,
    },
  ],
  [
    "Operation:",
    {
      nodes: async () => (await import("../features/nodes/command.ts")).nodesCommand,
      metrics: async () => (await import("../features/metrics/command.ts")).metricsCommand,
      traces: async () => (await import("../features/traces/command.ts")).tracesCommand,
      events: async () => (await import("../features/events/command.ts")).eventsCommand,
      decisions: async () => (await import("../features/decisions/command.ts")).decisionsCommand,
      parity: async () => (await import("../features/parity/command.ts")).parityCommand,
      keys: async () => (await import("../features/keys/command.ts")).keysCommand,
      env: async () => (await import("../features/environments/command.ts")).envCommand,
      audit: async () => (await import("../features/audit/command.ts")).auditCommand,
      login: async () => (await import("../features/people/command.ts")).loginCommand,
      logout: async () => (await import("../features/people/command.ts")).logoutCommand,
      whoami: async () => (await import("../features/people/command.ts")).whoamiCommand,
      backup: async () => (await import("./backup.ts")).backupCommand,
      restore: async () => (await import("./restore.ts")).restoreCommand,
      snapshot: async () => (await import("./snapshot.ts")).snapshotCommand,
      migrate: async () => (await import("./migrate.ts")).migrateCommand,
      promote: async () => (await import("../features/promotion/command.ts")).promoteCommand,
      "adopt-history": async () => (await import("./approve-history.ts")).adoptHistoryCommand,
      "abandon-history": async () => (await import("./approve-history.ts")).abandonHistoryCommand,
    },
  ],
  [
    "This program:",
    {
      completion: async () => (await import("./completion.ts")).completionCommand,
      man: async () => (await import("./man.ts")).manCommand,
      openapi: async () => (await import("../features/health/command-openapi.ts")).openApiCommand,
      licenses: async () => (await import("./licenses.ts")).licensesCommand,
      version: async () => versionCommand,
    },
  ],
];

/** These describe all commands. */
const describingCommands: readonly string[] = ["completion", "man"];

/** The commands that are needed for these words, each group below its heading. */
function neededCommands(words: readonly string[]) {
  const [first = ""] = words;
  const isNamed =
    !describingCommands.includes(first) && commandGroups.some(([, commands]) => Object.hasOwn(commands, first));
  return commandGroups.map(([heading, commands]) => {
    const loaded = Object.entries(commands).filter(([name]) => !isNamed || name === first);
    return { heading, commands: loaded.map(([, load]) => load) };
  });
}

export async function runCommandLine(parameters: readonly string[]): Promise<ExitStatus> {
  let status: ExitStatus = 0;
  const finish = (result: ExitStatus): void => {
    status = result;
  };
  const program = new Command("ostiary")
    .description(
      "Self-hosted authorization: Polar policies and Oso Cloud's API, on nodes that answer independently of each other.",
    )
    .version(versionText, "-V, --version", "Print the version")
    // `ostiary policy` has options and subcommands with the same options: they belong to the word before them.
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => writeNow("stdout", text),
      writeErr: (text) => writeNow("stderr", printableLines(text)),
      outputError: (text) =>
        writeNow("stderr", printableLines(text).replace(/^error:/, paint("stderr", "red", "error:"))),
    })
    .configureHelp({
      helpWidth: 120,
      subcommandTerm: (command) => command.name(),
      subcommandDescription: (command) => firstSentence(command.description()),
    })
    .addHelpText("after", examples);
  const words = asVersionCommand(parameters);
  for (const { heading, commands } of neededCommands(words)) {
    program.commandsGroup(heading);
    for (const load of commands) (await load())(program, finish);
  }
  if (!parameters.includes("--all")) hideAdvancedSettings(program);

  try {
    const unknown = describeUnknownCommand(program, parameters);
    if (unknown !== undefined) throw new UsageError(unknown);
    await program.parseAsync(words, { from: "user" });
    return status;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (error instanceof UsageError) {
      await printFailure(error.message);
      return 2;
    }
    await printFailure(describe(error));
    return 1;
  }
}

/** `--version --json` is `version --json`. */
function asVersionCommand(parameters: readonly string[]): readonly string[] {
  const isVersion = parameters.some((word) => word === "--version" || word === "-V");
  const others = parameters.filter((word) => word !== "--version" && word !== "-V");
  return isVersion && others.every((word) => word === "--json") ? ["version", ...others] : parameters;
}

/** Hides the advanced settings: there are so many that users would not find the others. */
function hideAdvancedSettings(program: Command): void {
  for (const { options } of program.commands)
    for (const option of options) if (option.helpGroupHeading === advancedHeading) option.hideHelp();
}

/** The message for an error, with the stack if the error is unexpected: its message alone does not show the bug. */
function describe(error: unknown): string {
  if (error instanceof AppError) return printable(error.message);
  const failure = storageFailureIn(error);
  const path = pathIn(error);
  if (failure !== undefined && path !== undefined) return printable(describeStorageFailure(failure, path));
  if (path !== undefined) return printable(`\`${path}\` cannot be used: ${fileProblem(error)}; name another path`);
  // Only the output of a command has no path.
  if (failure?.reason === "full") return `the output cannot be written, its disk is full: free space`;
  if (isSystemError(error)) return printable(reasonOf(error));
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** The path of an error of the file system or of SQLite; undefined for other errors, such as those of a port. */
function pathIn(error: unknown): string | undefined {
  const { path, code } = (error ?? {}) as { readonly path?: unknown; readonly code?: unknown };
  if (typeof path === "string") return path;
  return typeof code === "string" && code.startsWith("SQLITE_") ? "the data directory" : undefined;
}
