/** `ostiary policy`: loads a policy into a running node; shows and compares its versions, and goes back to one. */
import type { Command } from "commander";
import { policyEndpoints } from "./endpoints.ts";
import { printContent, print } from "../../runtime/process.ts";
import { type AddCommand, type ExitStatus, UsageError } from "../../cli/command.ts";
import { printWarning } from "../../cli/color.ts";
import { addCheck } from "./command-check.ts";
import { addDiff } from "./command-diff.ts";
import { checkFiles, printProblems, printReport, printReportAsJson, uploadOf } from "../../cli/policy-files.ts";
import { changePolicy, type PolicyChange } from "./command-upload.ts";
import { parseId, readPolicy, readVersions, type PolicyVersion } from "./command-versions.ts";
import { accessOf, withAccess } from "../../cli/node-api.ts";
import { table } from "../../cli/table.ts";

type Finish = (status: ExitStatus) => void;

const details = `
The policy is checked and tested first, here and on the node. If it has errors, or if a test fails, the old policy stays
active. The status is 0 if the policy is active, and 1 if it was refused.

Examples:
  ostiary policy policy.polar
  ostiary policy --message "reviewers may comment" blocks.polar rules.polar    several files form one policy
  ostiary policy -f history                                                    a file with the name of a subcommand
  ostiary policy check --effect policy.polar                                   what it would change, before loading it
  ostiary policy history
  ostiary policy diff policy.polar                                             the active policy and a file
  ostiary policy show 3 > policy.polar
  ostiary policy rollback 3 --message "reviewers lost access"`;

export const policyCommand: AddCommand = (program, finish) => {
  const group = program
    .command("policy")
    .description(
      "Load a policy into a running node; show its versions, compare them, go back to one, and show what another would change",
    )
    .enablePositionalOptions()
    .argument("[files...]", "Policy files to load; several form one policy")
    .option("-f, --file <file>", "A policy file to load; can be repeated", addFile);
  withChangeOptions(group)
    .addHelpText("after", details)
    .action((files: string[], options: UploadOptions, self: Command) =>
      upload([...(options.file ?? []), ...files], options, self, finish),
    );
  addShow(group);
  addHistory(group);
  addRollback(group, finish);
  addDiff(group, finish);
  addCheck(group, finish);
};

interface ChangeOptions {
  readonly message?: string;
  readonly force?: true;
  readonly json?: true;
}

interface UploadOptions extends ChangeOptions {
  readonly file?: readonly string[];
}

function withChangeOptions(command: Command): Command {
  return withAccess(
    command
      .option("-m, --message <text>", "Why the policy changes, for its history")
      .option("--force", "Load the policy even if its tests fail")
      .option("--json", "Print the result as JSON"),
    policyEndpoints.postPolicy,
  );
}

function addFile(file: string, others: readonly string[] = []): string[] {
  return [...others, file];
}

async function upload(paths: readonly string[], options: UploadOptions, self: Command, finish: Finish): Promise<void> {
  if (paths.length === 0)
    throw new UsageError(
      "no policy file was named; `ostiary policy policy.polar` loads one, `ostiary policy --help` has more",
    );
  const access = accessOf(self);
  // The files are checked one by one first, so that problems name file and line. The node gets them as one text.
  const checked = await checkFiles(paths, { runTests: options.force !== true });
  if (!checked.good) {
    await (options.json ? printReportAsJson(checked) : printReport(checked));
    return finish(1);
  }
  if (!options.json) await printProblems(checked);
  const change = await changePolicy(
    access,
    policyEndpoints.postPolicy,
    { ...uploadOf(checked.sources), ...bodyOf(options) },
    options,
    checked.sources,
  );
  // The problems of the policy are printed already.
  const unused = change.warning?.indexOf("the policy no longer uses stored facts") ?? -1;
  const warning =
    checked.diagnostics.length === 0 ? change.warning : unused === -1 ? undefined : change.warning?.slice(unused);
  await report({ ...change, warning }, options, finish);
}

function addShow(group: Command): void {
  withAccess(group.command("show"), policyEndpoints.getPolicy)
    .description("Print the source of the active policy, or of another version")
    .argument("[id]", "The version, from `ostiary policy history`", parseId)
    .option("--id <number>", "The same", parseId)
    .option("--json", "Print file name and source as JSON")
    .action(async (version: number | undefined, { id, json }: { id?: number; json?: true }, self: Command) => {
      const policy = await readPolicy(accessOf(self), version ?? id);
      await (json ? print(`${JSON.stringify(policy, null, 2)}\n`) : printContent(policy.src));
    });
}

function addHistory(group: Command): void {
  withAccess(group.command("history"), policyEndpoints.getPolicyHistory)
    .description("Print the versions of the policy, newest first")
    .option("--json", "Print JSON")
    .action(async ({ json }: { json?: true }, self: Command) => {
      const versions = await readVersions(accessOf(self));
      const headings = ["ID", "ACTIVE", "TIME", "BYTES", "AUTHOR", "FILE", "MESSAGE"];
      await print(json ? `${JSON.stringify(versions, null, 2)}\n` : table(headings, versions.map(rowOf)));
    });
}

function rowOf({ id, active, time, bytes, author, filename, message }: PolicyVersion): string[] {
  const by = author === null ? "-" : author.name === null ? author.id : `${author.name} (${author.id})`;
  return [String(id), active ? "yes" : "no", time, String(bytes), by, filename || "-", message ?? ""];
}

function addRollback(group: Command, finish: Finish): void {
  withChangeOptions(group.command("rollback"))
    .description("Load the source of an older version again, as a new version")
    .argument("<id>", "The version, from `ostiary policy history`", parseId)
    .action(async (id: number, options: ChangeOptions, self: Command) => {
      const body = { id, ...bodyOf(options) };
      await report(
        await changePolicy(accessOf(self), policyEndpoints.postPolicyRollback, body, options),
        options,
        finish,
      );
    });
}

function bodyOf({ message }: ChangeOptions): { message?: string } {
  return message === undefined ? {} : { message };
}

async function report(change: PolicyChange, { json }: ChangeOptions, finish: Finish): Promise<void> {
  if (change.refused !== undefined) {
    if (json) await print(`${JSON.stringify(change.refused, null, 2)}\n`);
    return finish(1);
  }
  const { result, id, warning } = change;
  if (json) return print(`${JSON.stringify({ result, id, ...(warning === undefined ? {} : { warning }) }, null, 2)}\n`);
  if (warning !== undefined) await printWarning(warning);
  await print(`policy ${result}${id === null ? "" : ` (version ${id})`}\n`);
}
