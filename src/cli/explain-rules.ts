/** `ostiary explain-rules`: prints the longhand of each shorthand rule, as Polar that can replace it. */
import { defaultLimits } from "../config/limits.ts";
import { polarLimits } from "../engine/policy/active-policy.ts";
import { explainRules, type ExplainedRules } from "../polar/explain-rules.ts";
import { diagnosticToJson } from "../polar/render.ts";
import { lineStarts, positionAt, type Source } from "../polar/source.ts";
import type { Span } from "../polar/span.ts";
import { print, printContent } from "../runtime/process.ts";
import type { AddCommand } from "./command.ts";
import { checkFiles, type CheckedPolicy, printReport } from "./policy-files.ts";

const details = `
A rule inside a block is shorthand for a rule outside of blocks, about \`actor\` and \`resource\`. For each such rule
the command prints:

  # policy.polar:6:3: "read" if "member" on "org";
  has_permission(actor: Actor, "read", resource: Doc) if
    org matches Org and
    has_relation(resource, "org", org) and
    has_role(actor, "member", org);

At the end it prints the rules for \`allow\` that a policy without such a rule has. The output is Polar: the policy with
these rules instead of its blocks is the same. Longhand rules are not printed.

Examples:
  ostiary explain-rules policy.polar
  ostiary explain-rules --json blocks.polar rules.polar    several files form one policy
`;

export const explainRulesCommand: AddCommand = (program, finish) => {
  program
    .command("explain-rules")
    .description("Print the shorthand rules of a policy in longhand")
    .argument("<files...>", "Policy files; several form one policy")
    .option("--json", "Print positions, shorthand and longhand as JSON")
    .addHelpText("after", details)
    .action(async (files: string[], options: { json?: true }) => {
      const checked = await checkFiles(files, { runTests: false });
      const { policy, sources } = checked;
      const explained = policy && explainRules(sources, policy, polarLimits(defaultLimits));
      if (options.json) {
        await printAsJson(checked, explained);
      } else {
        await printReport(checked);
        if (explained) await printContent(renderExplained(explained, sources));
      }
      finish(policy ? 0 : 1);
    });
};

function renderExplained({ rules, implicit }: ExplainedRules, sources: readonly Source[]): string {
  const place = placesIn(sources);
  const parts = rules.map(({ span, shorthand, longhand }) => {
    const { file, line, column } = place(span);
    return `# ${oneLine(file)}:${line}:${column}: ${shorthand}\n${longhand}\n`;
  });
  if (rules.length === 0) parts.push("# No rule of the policy is shorthand.\n");
  if (implicit.length > 0) {
    const why = "# Implicit, because no rule of the policy is called `allow`:\n";
    parts.push(`${why}${implicit.join("\n")}\n`);
  }
  return parts.join("\n");
}

async function printAsJson(
  { diagnostics, sources }: CheckedPolicy,
  explained: ExplainedRules | undefined,
): Promise<void> {
  const place = placesIn(sources);
  const { rules, implicit } = explained ?? { rules: [], implicit: [] };
  const answer = {
    success: explained !== undefined,
    problems: diagnostics.map((found) => diagnosticToJson(found, sources)),
    rules: rules.map(({ span, shorthand, longhand }) => ({ ...place(span), shorthand, longhand })),
    implicit,
  };
  await print(`${JSON.stringify(answer, null, 2)}\n`);
}

function placesIn(sources: readonly Source[]) {
  const starts = new Map(sources.map(({ name, text }) => [name, lineStarts(text)]));
  return ({ file, start }: Span) => ({ file, ...positionAt(starts.get(file) ?? [0], start) });
}

/** A file name can contain line breaks, but the comment must be one line. */
function oneLine(name: string): string {
  return name.replace(/\p{Cc}/gu, "\u{fffd}");
}
