/** `ostiary policy check`: checks and tests a policy, and with `--effect` asks a node what it would change there. */
import { type Command, InvalidArgumentError } from "commander";
import { policyEndpoints } from "./endpoints.ts";
import type { ResponseOf } from "../../http/endpoint.ts";
import { print } from "../../runtime/process.ts";
import { printable } from "../../util/printable.ts";
import { printFailure } from "../../cli/color.ts";
import type { ExitStatus } from "../../cli/command.ts";
import { noEvidence, replayText, replayTimeoutMs } from "../../cli/replay-text.ts";
import { itemsOf } from "../../cli/follow-events.ts";
import {
  accessOf,
  answerIn,
  errorFrom,
  noAnswer,
  type NodeAccess,
  requestNode,
  requestOf,
  withAccess,
} from "../../cli/node-api.ts";
import { type ProgressLine, withProgress } from "../../cli/progress-line.ts";
import { checkFiles, printReport, printReportAsJson } from "../../cli/policy-files.ts";

const details = `
Without --effect no node is asked. With --effect the command also prints what the policy would change on the node: stored
facts that it would no longer use, and, with an admin key, the latest logged decisions of this node that would have
another result, and why. Nothing is stored. The status is 1 if the policy has errors, if a test fails, or if there is no
decision to make again: --decisions 0 asks for none.

Examples:
  ostiary policy check policy.polar
  ostiary policy check --effect blocks.polar rules.polar
  ostiary policy check --effect --decisions 5000 policy.polar`;

interface Options {
  readonly effect?: true;
  readonly decisions: number;
  readonly json?: true;
}

type Effect = ResponseOf<typeof policyEndpoints.policyEffect>;

export function addCheck(group: Command, finish: (status: ExitStatus) => void): void {
  withAccess(group.command("check"), policyEndpoints.policyEffect)
    .description("Check and test a policy; show what it would change on a running node")
    .argument("<files...>", "Policy files; several form one policy")
    .option("--effect", "Ask the node which stored facts and logged decisions would change")
    .option("--decisions <n>", "With --effect: at most this many logged decisions, the latest ones", countOf, 500)
    .option("--json", "Print JSON")
    .addHelpText("after", details)
    .action(async (files: string[], { effect, decisions, json }: Options, self: Command) => {
      const checked = await checkFiles(files, { runTests: true });
      const isShown = effect !== true || checked.policy === undefined;
      if (json && isShown) await printReportAsJson(checked);
      if (!json) await printReport(checked);
      if (isShown) return finish(checked.good ? 0 : 1);
      const body = { files: checked.sources.map(({ name, text }) => ({ filename: name, src: text })), decisions };
      const answer = await withProgress((line) => askEffect(accessOf(self), body, line));
      const found = answerIn(policyEndpoints.policyEffect, answer);
      await print(json ? `${JSON.stringify(answer, null, 2)}\n` : effectText(found));
      const missing = found.decisions && missingEvidence(found.decisions);
      if (missing) await printFailure(`${missing}; \`--decisions 0\` asks for none`);
      finish(checked.good && found.tests.success && !missing ? 0 : 1);
    });
}

/** Ends the work of the node when the command ends. */
async function askEffect(access: NodeAccess, body: object, line: ProgressLine): Promise<object> {
  line.begin("checking the policy");
  const request = requestOf(policyEndpoints.policyEffect, { body, timeoutMs: replayTimeoutMs });
  const response = await requestNode(access, { ...request, headers: { Accept: "text/event-stream" } });
  if (!response.ok) throw await errorFrom(access.url, response);
  const answer: Record<string, unknown> = {};
  try {
    for await (const message of itemsOf(response.body, () => {})) {
      if (!("data" in message)) continue;
      const data: unknown = JSON.parse(message.data);
      if (message.event !== "progress") answer[message.event ?? ""] = data;
      else line.describe(`${(data as { readonly examined: number }).examined} decisions made again`);
    }
  } catch (error) {
    throw noAnswer(access, error);
  }
  return answer;
}

function effectText({ unused_facts: unused, decisions }: Effect): string {
  const facts = unused.map(({ facts: type, count }) => `would no longer use ${count} ${printable(type)}\n`);
  const noFacts = facts.length === 0 ? ["would still use all stored facts that the active policy uses\n"] : facts;
  if (decisions === null) return noFacts.join("");
  return noFacts.join("") + ("omitted" in decisions ? "" : replayText(decisions));
}

/** Why nothing is known about the decisions; undefined if some were made again. */
function missingEvidence(decisions: NonNullable<Effect["decisions"]>): string | undefined {
  if ("omitted" in decisions) return `no decision was replayed: ${decisions.omitted}`;
  return decisions.replayed === 0 ? noEvidence(decisions) : undefined;
}

function countOf(text: string): number {
  if (/^\d{1,6}$/.test(text) && Number(text) <= 100_000) return Number(text);
  throw new InvalidArgumentError("It must be a whole number from 0 to 100000.");
}
