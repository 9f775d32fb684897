/** From measured times to rows of the report: what each is called, and what it is compared with. */
import type { ApplyRates } from "./applying.ts";
import type { CheckTimes } from "./checking.ts";
import type { DecisionTimes } from "./decisions.ts";
import { manyConnections, type HttpRates } from "./http.ts";
import { duration, perSecond, type Row, type Section } from "./report.ts";
import type { Times } from "./timing.ts";
import type { Visibility } from "./visibility.ts";

/** Of which policy and facts something is told. */
export type Kind = "nested" | "roles";

/** The ratios of the plain policy have a name in front. */
const prefixes: Readonly<Record<Kind, string>> = { nested: "", roles: "roles_" };

export const policyLines: readonly string[] = [
  "nested: scripts/example/policy.polar (roles through teams in teams and folders in folders, expiry, public, banned)",
  "roles:  scripts/benchmark/roles.polar (roles on repositories, inherited from their organization)",
];

export function loadingSection(kind: Kind, facts: number, seconds: number): Section {
  return {
    title: `${kind}: loading through oso-cloud into a primary`,
    rows: [{ what: "POST /api/batch, 1,000 facts each", value: perSecond(facts / seconds, "facts") }],
  };
}

export function httpSection(kind: Kind, { many, one }: { readonly many: HttpRates; readonly one: HttpRates }): Section {
  const prefix = prefixes[kind];
  return {
    title: `${kind}: POST /api/authorize over HTTP on that primary, uniform pairs, beside a bare Bun.serve JSON echo`,
    rows: [
      { what: `echo, ${manyConnections} connections`, value: perSecond(many.echo.perSecond, "requests") },
      {
        what: `authorize, ${manyConnections} connections`,
        value: perSecond(many.authorize.perSecond, "requests"),
        ratio: { name: `${prefix}http_uniform_over_echo`, value: many.authorize.perSecond / many.echo.perSecond },
      },
      { what: "  its latency, p50", value: duration(many.authorize.p50) },
      { what: "  its latency, p99", value: duration(many.authorize.p99) },
      { what: "echo, 1 connection, p50", value: duration(one.echo.p50) },
      {
        what: "authorize, 1 connection, p50",
        value: duration(one.authorize.p50),
        ratio: { name: `${prefix}http_p50_over_echo`, value: one.authorize.p50 / one.echo.p50 },
      },
      { what: "authorize, 1 connection, p99", value: duration(one.authorize.p99) },
    ],
  };
}

export function visibilitySection({ committed, visible, difference }: Visibility): Section {
  return {
    title: "nested: from a write to an edge (primary and edge as processes, one fact a write, one write at a time)",
    rows: [
      { what: "write sent -> primary has answered, p50", value: duration(committed.p50) },
      { what: "write sent -> primary has answered, p99", value: duration(committed.p99) },
      {
        what: "write sent -> edge answers with it, p50",
        value: duration(visible.p50),
        ratio: { name: "visible_p50_over_write", value: visible.p50 / committed.p50 },
      },
      { what: "write sent -> edge answers with it, p99", value: duration(visible.p99) },
      { what: "commit -> visible on the edge, p50", value: duration(difference.p50) },
      { what: "commit -> visible on the edge, p99", value: duration(difference.p99) },
    ],
  };
}

export function decisionsSection(kind: Kind, times: DecisionTimes): Section {
  const prefix = prefixes[kind];
  const { probe, uniform, granted, list, actions, uniformAllowed, grantedAllowed, listLength } = times;
  const overProbe = (what: string, name: string, { p50 }: Times): Row => ({
    what,
    value: duration(p50),
    ratio: { name: `${prefix}${name}_p50_over_probe`, value: p50 / probe.p50 },
  });
  const percent = (share: number): string => `${(share * 100).toFixed(1)} % allowed`;
  return {
    title: `${kind}: decisions in process, over the file, beside one indexed probe of it`,
    rows: [
      { what: "one indexed SQLite probe, p50", value: duration(probe.p50) },
      { what: "one indexed SQLite probe, p99", value: duration(probe.p99) },
      overProbe(`authorize, uniform pairs (${percent(uniformAllowed)}), p50`, "check", uniform),
      {
        what: "authorize, uniform pairs, p99",
        value: duration(uniform.p99),
        ratio: { name: `${prefix}check_p99_over_p50`, value: uniform.p99 / uniform.p50 },
      },
      overProbe(`authorize, pairs with a role (${percent(grantedAllowed)}), p50`, "granted_check", granted),
      { what: "authorize, pairs with a role, p99", value: duration(granted.p99) },
      overProbe("actions, p50", "actions", actions),
      { what: "actions, p99", value: duration(actions.p99) },
      overProbe(`list (${listLength.toFixed(0)} ids on average), p50`, "list", list),
      { what: "list, p99", value: duration(list.p99) },
    ],
  };
}

export function checkSection({ lines, bytes, parseJson, check, command }: CheckTimes): Section {
  const overJson = (what: string, name: string, { p50 }: Times): Row => ({
    what,
    value: duration(p50),
    ratio: { name, value: p50 / parseJson.p50 },
  });
  return {
    title: `checking a policy of ${lines.toLocaleString("en")} lines (${Math.round(bytes / 1000)} kB), beside JSON.parse of it as one string`,
    rows: [
      { what: "JSON.parse, p50", value: duration(parseJson.p50) },
      overJson("check, in process, p50", "check_policy_over_json_parse", check),
      overJson("ostiary validate, start of the process included, p50", "validate_over_json_parse", command),
    ],
  };
}

export function applySection({ appliedPerSecond, insertedPerSecond }: ApplyRates): Section {
  return {
    title: "roles: applying events of 1,000 facts to a file, beside bare inserts into the same tables",
    rows: [
      { what: "bare inserts", value: perSecond(insertedPerSecond, "facts") },
      {
        what: "apply",
        value: perSecond(appliedPerSecond, "facts"),
        ratio: { name: "apply_over_insert", value: appliedPerSecond / insertedPerSecond },
      },
    ],
  };
}
