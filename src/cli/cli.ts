/** The command line's table of contents. Every command is a file; none writes to standard output what is not its answer. */
import { Command, CommanderError } from "commander";
import { isSystemError } from "../runtime/process.ts";
import { AppError } from "../util/app-error.ts";
import { fileProblem } from "../util/file-problem.ts";
import { printable, printableLines } from "../util/printable.ts";
import { reasonOf } from "../util/reason.ts";
import { describeStorageFailure, storageFailureIn } from "../util/storage-failure.ts";
import { abandonHistoryCommand, adoptHistoryCommand } from "./approve-history.ts";
import { backupCommand } from "./backup.ts";
import { printFailure, paint } from "./color.ts";
import { configCommand } from "./config.ts";
import { devCommand } from "./dev.ts";
import { eventsCommand } from "./events.ts";
import { explainCommand } from "./explain.ts";
import { explainRulesCommand } from "./explain-rules.ts";
import { fmtCommand } from "./fmt.ts";
import { generateTypesCommand } from "./generate-types.ts";
import { healthCommand } from "./health.ts";
import { keysCommand } from "./keys.ts";
import { planCommand } from "./plan.ts";
import { promoteCommand } from "./promote.ts";
import { restoreCommand } from "./restore.ts";
import { serveCommand } from "./serve.ts";
import { snapshotCommand } from "./snapshot.ts";
import { testCommand } from "./test.ts";
import { advancedHeading } from "./setting-options.ts";
import { UsageError, type ExitStatus } from "./command.ts";
import { validateCommand } from "./validate.ts";
import { versionCommand, versionText } from "./version.ts";

const examples = `
Examples:
  ostiary dev policy.polar                        a node to try things on, nothing to configure
  ostiary validate policy.polar                   check a policy
  ostiary test policy.polar                       run its test blocks
  ostiary fmt policy.polar                        put it into its canonical form
  ostiary explain-rules policy.polar              say its shorthand rules in longhand
  ostiary generate-types typescript policy.polar  types for clients, checked against the policy
  ostiary plan policy.polar 'allow(User:_, read, Repository:_)'   what a question becomes
  ostiary serve --role primary --data /var/lib/ostiary
  ostiary serve --role edge --primary http://10.0.0.1:8080      with OSTIARY_NODE_KEY in the environment
  ostiary config --role edge --primary http://10.0.0.1:8080     what would be in force
  ostiary explain User:ann read Repository:x      why it is allowed or denied; OSO_URL and OSO_AUTH say where
  ostiary events --follow                         what happens there, as it happens
  ostiary promote --url http://10.0.0.2:8080      an edge becomes the primary
  ostiary adopt-history 0123456789abcdef --data /var/lib/ostiary    let an edge take over another history, which its log names
  ostiary backup --data /var/lib/ostiary --out monday.backup    everything in one file, while the node goes on
  ostiary restore monday.backup --data /var/lib/ostiary --to-time 2026-11-26T07:00:00Z   as it was at seven
  ostiary keys create --role read --name billing  with OSO_URL and OSO_AUTH in the environment
  ostiary snapshot create --url http://10.0.0.1:8080 --out all.zst      everything in one file, for \`ostiary snapshot import\`

\`ostiary <command> --help\` says more about a command.
Failures are red on a terminal: NO_COLOR=1 turns colours off, FORCE_COLOR=1 turns them on elsewhere.
`;

export async function runCommandLine(parameters: readonly string[]): Promise<ExitStatus> {
  let status: ExitStatus = 0;
  const finish = (result: ExitStatus): void => {
    status = result;
  };
  const program = new Command("ostiary")
    .description(
      "Authorization for your own machines: Polar policies behind Oso Cloud's API, on nodes that answer by themselves.",
    )
    .version(versionText, "-V, --version", "Say which build this is")
    .exitOverride()
    .configureOutput({
      writeErr: (text) => void process.stderr.write(printableLines(text)),
      outputError: (text) =>
        void process.stderr.write(printableLines(text).replace(/^error:/, paint("stderr", "red", "error:"))),
    })
    .configureHelp({ helpWidth: 120 })
    .addHelpText("after", examples);
  const commands = [
    serveCommand,
    devCommand,
    configCommand,
    validateCommand,
    testCommand,
    fmtCommand,
    explainRulesCommand,
    explainCommand,
    generateTypesCommand,
    planCommand,
    eventsCommand,
    keysCommand,
    promoteCommand,
    adoptHistoryCommand,
    abandonHistoryCommand,
    backupCommand,
    restoreCommand,
    snapshotCommand,
    healthCommand,
    versionCommand,
  ];
  for (const command of commands) command(program, finish);
  if (!parameters.includes("--all")) hideLimits(program);

  try {
    await program.parseAsync(asVersionCommand(parameters), { from: "user" });
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

/** There are so many that nobody finds the other settings among them. */
function hideLimits(program: Command): void {
  for (const { options } of program.commands)
    for (const option of options) if (option.helpGroupHeading === advancedHeading) option.hideHelp();
}

/** What went wrong for people; a bug shows its stack, since nobody can do anything with its message alone. */
function describe(error: unknown): string {
  if (error instanceof AppError) return printable(error.message);
  const failure = storageFailureIn(error);
  const path = pathIn(error);
  if (failure === undefined && isSystemError(error)) return printable(reasonOf(error));
  if (failure !== undefined && path !== undefined) return printable(describeStorageFailure(failure, path));
  if (path !== undefined) return printable(`\`${path}\` can't be used: ${fileProblem(error)}; name another`);
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** The file that the system named, or what SQLite can only have meant; undefined where it is about something else, such as a port. */
function pathIn(error: unknown): string | undefined {
  const { path, code } = error as { readonly path?: unknown; readonly code?: unknown };
  if (typeof path === "string") return path;
  return typeof code === "string" && code.startsWith("SQLITE_") ? "the data directory" : undefined;
}
