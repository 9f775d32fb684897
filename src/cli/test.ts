/** `ostiary test`: checks a policy and runs its test blocks. */
import { stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { printError, stopSignal } from "../runtime/process.ts";
import { printable } from "../util/printable.ts";
import type { AddCommand } from "./command.ts";
import { checkFiles, printReport, printReportAsJson } from "./policy-files.ts";

const details = `
Each \`test\` block runs on the policy and its own facts only. For a failed assertion the command prints the expected and
the actual result and the reason: the rules and facts that make it true, or the missing facts.

--coverage counts the rules that contributed to a true result of an assertion (or made a \`not\` in it fail), and lists the
other rules.

Examples:
  ostiary test policy.polar
  ostiary test --watch --coverage blocks.polar rules.polar tests.polar    several files form one policy
  ostiary test --json policy.polar
`;

interface Options {
  readonly coverage?: true;
  readonly json?: true;
  readonly watch?: true;
}

export const testCommand: AddCommand = (program, finish) => {
  program
    .command("test")
    .description("Check a policy and run its test blocks")
    .argument("<files...>", "Policy files; several form one policy")
    .option("--coverage", "Count the rules that the tests exercise, and list the others")
    .option("--watch", "Run again after each change of a file, until Ctrl-C")
    .option("--json", "Print results and problems as JSON; with --watch, one line per run")
    .addHelpText("after", details)
    .action(async (files: string[], options: Options) => {
      let isGood = false;
      const runOnce = async (): Promise<void> => {
        isGood = await run(files, options);
      };
      await (options.watch ? watchFiles(files, runOnce) : runOnce());
      finish(isGood ? 0 : 1);
    });
};

async function run(files: readonly string[], { coverage, json, watch }: Options): Promise<boolean> {
  const checked = await checkFiles(files, { runTests: true, coverage: coverage === true });
  if (json) await printReportAsJson(checked, watch ? 0 : 2);
  else await printReport(checked);
  return checked.good;
}

/** Polling is cheap, works on all file systems, and notices a file that an editor replaces. */
const pollIntervalMs = 200;

/** Calls `run` now and after each change of a file, one call at a time, until a stop signal. */
async function watchFiles(paths: readonly string[], run: () => Promise<void>): Promise<void> {
  const stopRequested = stopSignal();
  let known: string | undefined;
  do {
    const found = await stateOf(paths);
    if (found === known) continue;
    // The state before the files are read, so that a change during the run causes another run.
    known = found;
    await run();
    await printError(`watching ${paths.map(printable).join(", ")} for changes, press Ctrl-C to stop\n`);
  } while ((await Promise.race([sleep(pollIntervalMs), stopRequested])) === undefined);
}

async function stateOf(paths: readonly string[]): Promise<string> {
  const states = paths.map((path) =>
    stat(path).then(
      ({ mtimeMs, size, ino }) => [mtimeMs, size, ino],
      () => null,
    ),
  );
  return JSON.stringify(await Promise.all(states));
}
