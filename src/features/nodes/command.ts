/** `ostiary nodes`: prints all nodes of an environment, as a running node knows them. */
import type { Command } from "commander";
import { nodeEndpoints } from "./endpoints.ts";
import type { ResponseOf } from "../../http/endpoint.ts";
import { print } from "../../runtime/process.ts";
import type { AddCommand } from "../../cli/command.ts";
import { accessOf, callEndpoint, withAccess } from "../../cli/node-api.ts";
import { table } from "../../cli/table.ts";

const details = `
A - means that it is not known. LAG is how many events the node lacked when it was last heard of, SEEN how long ago that was. A
node that answers nothing more stays in the list for an hour. "(format 5)" after a version: the database keeps this older format
until \`ostiary migrate\`. The status is 1 if a node is not ready, or was not heard of for a minute. NODE KEYS has the ids of the
node keys that the node accepts; it uses the first one.

Examples:
  ostiary nodes                                             all nodes
  ostiary nodes --json | jq 'select(.lag_events > 1000)'    those that are far behind`;

export const nodesCommand: AddCommand = (program, finish) => {
  const command = program
    .command("nodes")
    .description("Print all nodes of the environment: role, state, position, lag, brokers, version and node keys")
    .option("--json", "Print the nodes as JSON, one per line");
  withAccess(command, nodeEndpoints.getNodes)
    .addHelpText("after", details)
    .action(async ({ json }: { readonly json?: true }, self: Command) => {
      const { nodes } = await callEndpoint(accessOf(self), nodeEndpoints.getNodes);
      await print(json ? nodes.map((node) => `${JSON.stringify(node)}\n`).join("") : textOf(nodes));
      if (nodes.some(({ ready, seen_ms_ago: seen }) => ready === false || seen > silentMs)) finish(1);
    });
};

const silentMs = 60_000;

function textOf(nodes: ResponseOf<typeof nodeEndpoints.getNodes>["nodes"]): string {
  const rows = nodes.map(({ node, role, state, ready, offset, lag_events, age_ms, ...rest }) => [
    node,
    role,
    `${state ?? "-"}${ready === false ? " (not ready)" : ""}`,
    shown(offset),
    shown(lag_events),
    age_ms === null ? "-" : durationText(age_ms),
    rest.brokers.map(({ broker, connected }) => `${broker}${connected ? "" : " (down)"}`).join(", ") || "-",
    `${rest.version ?? "-"}${rest.kept_format === undefined ? "" : ` (format ${rest.kept_format})`}`,
    rest.node_keys?.join(", ") ?? "-",
    durationText(rest.seen_ms_ago),
  ]);
  return table(["NODE", "ROLE", "STATE", "OFFSET", "LAG", "AGE", "BROKERS", "VERSION", "NODE KEYS", "SEEN"], rows);
}

function shown(value: number | null): string {
  return value === null ? "-" : String(value);
}

function durationText(ms: number): string {
  if (ms < 1000) return `${Number(ms.toPrecision(3))} ms`;
  return ms < 120_000 ? `${Number((ms / 1000).toPrecision(3))} s` : `${Math.round(ms / 60_000)} min`;
}
