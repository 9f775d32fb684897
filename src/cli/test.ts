import type { AddCommand } from "./command.ts";
import { readPolicyFiles } from "./policy-files.ts";
import { check, printReport, printReportAsJson } from "./policy-report.ts";
import { watchFiles } from "./watch-files.ts";

const details = `
Each \`test\` block runs on a policy and facts of its own, nothing else is there. Of an assertion that fails it is said what was expected, what
came, and why: what makes it true, or which facts were missing.

--coverage counts the rules that helped to make some assertion's answer true (or made a \`not\` on the way to it fail), and lists the others.

Examples:
  ostiary test policy.polar
  ostiary test --watch --coverage blocks.polar rules.polar tests.polar    several files are one policy
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
    .argument("<files...>", "policy files; several form one policy")
    .option("--coverage", "count the rules that the tests exercise, and list the others")
    .option("--watch", "run again whenever a file changes, until Ctrl-C")
    .option("--json", "results and problems as JSON; with --watch, one line a run")
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
  const checked = check(await readPolicyFiles(files), { runTests: true, coverage: coverage === true });
  if (json) await printReportAsJson(checked, watch ? 0 : 2);
  else await printReport(checked);
  return checked.good;
}
