/** `ostiary validate`: checks a policy. */
import { print } from "../runtime/process.ts";
import { printable } from "../util/printable.ts";
import type { AddCommand } from "./command.ts";
import { checkFiles, printReport, printReportAsJson } from "./policy-files.ts";

export const validateCommand: AddCommand = (program, finish) => {
  program
    .command("validate")
    .description(
      "Check a policy, without running its tests. A comment `# ignore CODE` turns off a warning where it stands",
    )
    .argument("<files...>", "Policy files; several form one policy")
    .option("--json", "Print problems as JSON")
    .action(async (files: string[], options: { json?: true }) => {
      const checked = await checkFiles(files, { runTests: false });
      if (options.json) await printReportAsJson(checked);
      else await printReport(checked);
      if (checked.good && !options.json) await print(`${files.map(printable).join(", ")}: valid\n`);
      finish(checked.good ? 0 : 1);
    });
};
