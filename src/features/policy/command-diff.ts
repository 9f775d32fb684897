/** `ostiary policy diff`: compares versions of the policy of a running node with each other or with files. */
import type { Command } from "commander";
import { createTwoFilesPatch, FILE_HEADERS_ONLY } from "diff";
import { policyEndpoints } from "./endpoints.ts";
import { joinSources } from "../../policy/active-policy.ts";
import { print, printColored, printContent, wantsColor } from "../../runtime/process.ts";
import { AppError } from "../../util/app-error.ts";
import { printable, printableLines } from "../../util/printable.ts";
import { paint } from "../../cli/color.ts";
import { type ExitStatus, UsageError } from "../../cli/command.ts";
import { accessOf, withAccess, type NodeAccess } from "../../cli/node-api.ts";
import { decode, readBytes } from "../../cli/policy-files.ts";
import { readActiveId, readPolicy } from "./command-versions.ts";

const details = `
A number names a version (\`./7\` names a file), and several files form one policy. Without arguments the command compares
the version before the active one with the active one, with one version it compares that with the active one.

The status is 0 if both are equal, and 1 if they differ.

Examples:
  ostiary policy diff               what the last upload changed
  ostiary policy diff 3             from version 3 to the active policy
  ostiary policy diff 3 5
  ostiary policy diff policy.polar  from the active policy to a file
  ostiary policy diff 3 policy.polar`;

interface Text {
  readonly name: string;
  readonly text: string;
}

export function addDiff(group: Command, finish: (status: ExitStatus) => void): void {
  withAccess(group.command("diff"), policyEndpoints.getPolicy)
    .description("Compare two versions of the policy, or a version with files, line by line")
    .argument("[versions-or-files...]", "At most two versions, or a version and policy files")
    .option("--json", "Print the patch as JSON")
    .addHelpText("after", details)
    .action(async (words: string[], { json }: { json?: true }, self: Command) => {
      const [from, to] = await textsOf(accessOf(self), words);
      const patch = from.text === to.text ? "" : patchOf(from, to);
      if (json) await print(`${JSON.stringify({ from: from.name, to: to.name, patch }, null, 2)}\n`);
      else await printPatch(patch);
      if (patch !== "") finish(1);
    });
}

async function textsOf(access: NodeAccess, words: readonly string[]): Promise<readonly [from: Text, to: Text]> {
  const count = words.findIndex((word) => !/^\d{1,15}$/.test(word));
  const versions = (count === -1 ? words : words.slice(0, count)).map(Number);
  const files = words.slice(versions.length);
  if (versions.length + Math.min(files.length, 1) > 2)
    throw new UsageError("more than two policies to compare; name at most two versions, or a version and policy files");
  const [first, second] = versions;
  if (files.length > 0)
    return [await versionText(access, first ?? (await readActiveId(access))), await filesText(files)];
  const to = second ?? (await readActiveId(access));
  const from = first ?? to - 1;
  if (from < 1)
    throw new AppError("not_found", "there is only one version of the policy; name a file to compare it with");
  return [await versionText(access, from), await versionText(access, to)];
}

async function versionText(access: NodeAccess, id: number): Promise<Text> {
  const { src } = await readPolicy(access, id);
  return { name: `version ${id}`, text: src };
}

async function filesText(paths: readonly string[]): Promise<Text> {
  const sources = await Promise.all(
    paths.map(async (path) => {
      const bytes = await readBytes(path);
      const file = "code" in bytes ? bytes : decode(path, bytes);
      if ("code" in file) throw new AppError("invalid_request", `\`${path}\`: ${file.message}`);
      return file;
    }),
  );
  return { name: paths.join(", "), text: joinSources(sources) };
}

/** Texts without a common line could take minutes. */
const timeoutMs = 10_000;

/** A unified diff. Throws AppError if it takes too long. */
function patchOf(from: Text, to: Text): string {
  const options = { context: 3, timeout: timeoutMs, headerOptions: FILE_HEADERS_ONLY };
  const [fromName, toName] = [printable(from.name), printable(to.name)];
  const patch = createTwoFilesPatch(fromName, toName, from.text, to.text, undefined, undefined, options);
  if (patch !== undefined) return patch;
  throw new AppError(
    "too_large",
    `${fromName} and ${toName} differ too much to compare them in ${timeoutMs / 1000} s; print them with \`ostiary policy show <id>\``,
  );
}

/** A patch begins with the two names. */
const headerLines = 2;

async function printPatch(patch: string): Promise<void> {
  if (!wantsColor("stdout")) return printContent(patch);
  const colors = { "+": "green", "-": "red", "@": "cyan" } as const;
  const lines = printableLines(patch)
    .split("\n")
    .map((line, index) => {
      const color = index < headerLines ? undefined : colors[line.charAt(0) as keyof typeof colors];
      return color === undefined ? line : paint("stdout", color, line);
    });
  await printColored("stdout", lines.join("\n"));
}
