/** `ostiary explain-rules`: prints the longhand of each shorthand rule, as Polar that can replace it. */
import { defaultLimits } from "../config/limits.ts";
import { polarLimits } from "../policy/active-policy.ts";
import { rulesReport } from "../engine/validation/policy-report.ts";
import { explainRules, type ExplainedRules } from "../polar/explain-rules.ts";
import { lineStarts, positionAt, type Source } from "../polar/source.ts";
import type { Span } from "../polar/span.ts";
import { print, printContent } from "../runtime/process.ts";
import type { AddCommand } from "./command.ts";
import { checkFiles, printReport } from "./policy-files.ts";

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
      if (options.json) {
        await print(`${JSON.stringify(rulesReport(checked, sources, polarLimits(defaultLimits)), null, 2)}\n`);
      } else {
        await printReport(checked);
        if (policy)
          await printContent(renderExplained(explainRules(sources, policy, polarLimits(defaultLimits)), sources));
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

function placesIn(sources: readonly Source[]) {
  const starts = new Map(sources.map(({ name, text }) => [name, lineStarts(text)]));
  return ({ file, start }: Span) => ({ file, ...positionAt(starts.get(file) ?? [0], start) });
}

/** A file name can contain line breaks, but the comment must be one line. */
function oneLine(name: string): string {
  return name.replace(/\p{Cc}/gu, "\u{fffd}");
}
