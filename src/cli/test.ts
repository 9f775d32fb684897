/** `ostiary test`: checks a policy and runs its test blocks. */
import { printError, stopSignal } from "../runtime/process.ts";
import { printable } from "../util/printable.ts";
import type { AddCommand } from "./command.ts";
import { checkFiles, readWatched, printReport, printReportAsJson } from "./policy-files.ts";
import { watchFiles } from "./watch-files.ts";

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
      const watch = await watchFiles(files);
      let isGood = await run(files, options);
      if (options.watch) {
        const stopRequested = stopSignal();
        const announce = () =>
          printError(`watching ${files.map(printable).join(", ")} for changes, press Ctrl-C to stop\n`);
        await announce();
        await watch(async () => {
          isGood = await run(files, options);
          await announce();
        }, stopRequested);
      }
      finish(isGood ? 0 : 1);
    });
};

async function run(files: readonly string[], { coverage, json, watch }: Options): Promise<boolean> {
  const checked = await checkFiles(files, { runTests: true, coverage: coverage === true }, watch && readWatched);
  if (json) await printReportAsJson(checked, watch ? 0 : 2);
  else await printReport(checked);
  return checked.good;
}
