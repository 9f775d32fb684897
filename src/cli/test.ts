import type { AddCommand } from "./command.ts";
import { readPolicyFiles } from "./policy-files.ts";
import { check, printReport, printReportAsJson } from "./policy-report.ts";

export const testCommand: AddCommand = (program, finish) => {
  program
    .command("test")
    .description("Check a policy and run its test blocks")
    .argument("<files...>", "policy files; several form one policy")
    .option("--json", "results and problems as JSON")
    .action(async (files: string[], options: { json?: true }) => {
      const checked = check(await readPolicyFiles(files), { runTests: true });
      await (options.json ? printReportAsJson(checked) : printReport(checked));
      finish(checked.good ? 0 : 1);
    });
};
