/** Turns measured times into rows of the report, with their names and baselines. */
import type { ApplyRates } from "./applying.ts";
import type { ConsoleFigures } from "./console.ts";
import type { BodyTimes } from "./bodies.ts";
import type { CheckTimes } from "./checking.ts";
import type { DecisionTimes, SizedTimes } from "./decisions.ts";
import type { EdgeStart } from "./edge-start.ts";
import { edgeStartSecondsMax, serverP99MsMax } from "./goals.ts";
import type { IdleCosts, IdleCost } from "./environments.ts";
import type { Fairness } from "./fairness.ts";
import { manyConnections, type HttpRates } from "./http.ts";
import type { ImportRates } from "./importing.ts";
import type { Depth } from "./landmarks.ts";
import type { ListingTimes } from "./listing.ts";
import type { LocalTimes } from "./local.ts";
import type { EnvironmentRates, FullRates } from "./node-pairs.ts";
import type { Beside } from "./beside.ts";
import type { FirstQuestions } from "./first-questions.ts";
import type { ThreadMemory, ThreadRates } from "./threads.ts";
import type { PeerRates } from "./peers/measure.ts";
import { count, duration, megabytes, percent, perSecond, type Row, type Section } from "./report.ts";
import type { Latency, WriteRates } from "./replication/measure.ts";
import type { Memory } from "./starting.ts";
import { median, type Times } from "./timing.ts";
import type { Visibility } from "./visibility.ts";

export function applySection({ facts, appliedPerSecond, insertedPerSecond }: ApplyRates): Section {
  return {
    title: `applying ${count(facts)} facts to a file, 1,000 an event, beside bare inserts into the same tables`,
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

export function consoleSection({ sizes, inBrowser }: ConsoleFigures): Section {
  const kilobytes = (bytes: number): string => `${(bytes / 1000).toFixed(1)} kB`;
  const rows: Row[] = [
    { what: "the first screen, as gzip (goal: 60 kB)", value: kilobytes(sizes.firstScreen) },
    { what: "all scripts and styles, as gzip (goal: 300 kB)", value: kilobytes(sizes.code) },
    { what: "the manual, as gzip", value: kilobytes(sizes.manual) },
  ];
  const title = "the web console in Chromium, and a node with an open console beside one without";
  if (inBrowser === undefined) return { title, rows: [...rows, { what: "in a browser", value: "no Chromium here" }] };
  const { barePaintMs, loginPaintMs, overviewMs, closed, open } = inBrowser;
  return {
    title,
    rows: [
      ...rows,
      { what: "first paint of a bare page", value: duration(barePaintMs) },
      {
        what: "first paint of the console",
        value: duration(loginPaintMs),
        ratio: { name: "console_paint_over_bare", value: loginPaintMs / barePaintMs },
      },
      { what: "from a reload to the state of the node", value: duration(overviewMs) },
      { what: "authorize, no console open", value: perSecond(closed.perSecond, "requests") },
      {
        what: "authorize, a console open",
        value: perSecond(open.perSecond, "requests"),
        ratio: { name: "http_open_console_over_closed", value: open.perSecond / closed.perSecond },
      },
    ],
  };
}

export function decisionsSection(facts: number, times: DecisionTimes): Section {
  const { probe, uniform, granted, zipf, uniformAllowed, grantedAllowed } = times;
  const overProbe = (what: string, name: string, { p50 }: Times): Row => ({
    what: `${what}, p50`,
    value: duration(p50),
    ratio: { name, value: p50 / probe.p50 },
  });
  return {
    title: `authorize in process, ${count(facts)} facts, decision cache off, beside one indexed probe of the same file`,
    rows: [
      { what: "one indexed SQLite probe, p50", value: duration(probe.p50) },
      { what: "one indexed SQLite probe, p99", value: duration(probe.p99) },
      overProbe(`uniform pairs (${percent(uniformAllowed)} allowed)`, "check_p50_over_probe", uniform),
      {
        what: "uniform pairs, p99",
        value: duration(uniform.p99),
        ratio: { name: "check_p99_over_p50", value: uniform.p99 / uniform.p50 },
      },
      overProbe(`pairs with a role (${percent(grantedAllowed)} allowed)`, "granted_check_p50_over_probe", granted),
      { what: "pairs with a role, p99", value: duration(granted.p99) },
      overProbe("Zipf-distributed pairs, decision cache on", "zipf_check_p50_over_probe", zipf),
    ],
  };
}

const sizeNames: Readonly<Record<number, string>> = { 1e4: "10k", 1e5: "100k", 1e6: "1m", 1e7: "10m" };
const baseSize = 100_000;

export function sizesSection(sizes: readonly SizedTimes[]): Section {
  const base = sizes.find(({ company }) => company.size === baseSize)?.times.p50;
  return {
    title: "authorize in process as the company grows, uniform pairs, decision cache off, beside 100,000 facts",
    rows: sizes.map(({ company: { size }, times, allowed }) => ({
      what: `${count(size)} facts (${percent(allowed)} allowed), p50`,
      value: duration(times.p50),
      ...(base === undefined || size <= baseSize
        ? {}
        : { ratio: { name: `check_${sizeNames[size] ?? size}_over_100k`, value: times.p50 / base } }),
    })),
  };
}

export function depthsSection(depths: readonly (readonly [Depth, Times])[]): Section {
  const first = depths[0]?.[1].p50;
  return {
    title: "authorize in process, chains of folders with the role on the first (100 % allowed), decision cache off",
    rows: depths.map(([{ folders }, { p50 }], index) => ({
      what: `${folders} deep, p50`,
      value: duration(p50),
      ...(index === 0 || first === undefined
        ? {}
        : { ratio: { name: `depth${folders}_over_depth1`, value: p50 / first } }),
    })),
  };
}

export function listingsSection(listings: readonly ListingTimes[]): Section {
  const rate = ({ p50 }: Times, rows: number): number => (rows / p50) * 1000;
  const over = ({ asked, selected }: ListingTimes): number => asked.p50 / selected.p50;
  const worst = listings.toSorted((left, right) => over(right) - over(left))[0];
  return {
    title:
      "answers of many rows in process, decision cache off, beside a plain SELECT of the same answer where it is stored",
    rows: [
      ...listings.flatMap((listing): Row[] => {
        const { name, key, rows, asked, selected } = listing;
        return [
          { what: `${name} (${count(rows)} rows)`, value: perSecond(rate(asked, rows), "rows") },
          {
            what: "  its SELECT",
            value: perSecond(rate(selected, rows), "rows"),
            ratio: { name: `${key}_over_select`, value: over(listing) },
          },
        ];
      }),
      ...(worst === undefined
        ? []
        : [{ what: "the worst of these", value: worst.name, ratio: { name: "list_over_select", value: over(worst) } }]),
    ],
  };
}

export function localSections({ issues, lists, authorize, authorizeSql, listSql, generated }: LocalTimes): Section[] {
  const worst = Math.max(...lists.map(({ listed, handwritten }) => listed.p50 / handwritten.p50));
  const slowest = Math.max(generated.authorize.p50, generated.list.p50);
  return [
    {
      title: `a page of 50 of ${count(issues)} issues that four users may read, beside a hand-written query (local authorization)`,
      rows: [
        ...lists.flatMap(({ database, listed, handwritten }): Row[] => [
          { what: `${database}, hand-written, p50`, value: duration(handwritten.p50) },
          {
            what: `${database}, SQL of the node, p50`,
            value: duration(listed.p50),
            ratio: {
              name: `local_list_${database.toLowerCase()}_over_handwritten`,
              value: listed.p50 / handwritten.p50,
            },
          },
        ]),
        {
          what: "the slower of these",
          value: "",
          ratio: { name: "local_list_over_handwritten", value: worst },
        },
      ],
    },
    {
      title: "SQL for local authorization, beside POST /api/authorize with one connection, decision cache off",
      rows: [
        { what: "authorize over HTTP, p50", value: duration(authorize.p50) },
        { what: "SQL of a decision in process, p50", value: duration(generated.authorize.p50) },
        { what: "SQL of a list in process, p50", value: duration(generated.list.p50) },
        {
          what: "the slower of these",
          value: duration(slowest),
          ratio: { name: "local_sql_over_authorize", value: slowest / authorize.p50 },
        },
        {
          what: "authorize_query over HTTP, p50",
          value: duration(authorizeSql.p50),
          ratio: { name: "local_http_authorize_over_authorize", value: authorizeSql.p50 / authorize.p50 },
        },
        {
          what: "list_query over HTTP, p50",
          value: duration(listSql.p50),
          ratio: { name: "local_http_list_over_authorize", value: listSql.p50 / authorize.p50 },
        },
      ],
    },
  ];
}

export interface HttpFigures {
  readonly many: HttpRates;
  /** With one connection, if that was measured. */
  readonly one?: HttpRates;
  /** While the decision cache fills, and its hit ratio afterwards, if there is a cache. */
  readonly filling?: HttpRates;
  readonly remembered?: number;
}

export function httpSection(
  choice: "uniform" | "zipf",
  pinned: boolean,
  { many, one, filling, remembered }: HttpFigures,
): Section {
  const { echo, authorize } = many;
  const cores = pinned ? "server and load on a core each" : "server and load on any core";
  const pairs =
    choice === "uniform" ? "uniform pairs, decision cache off" : "Zipf-distributed pairs, decision cache on";
  return {
    title: `POST /api/authorize over HTTP, ${pairs}, beside a bare Bun.serve JSON echo (${cores})`,
    rows: [
      { what: `echo, ${manyConnections} connections`, value: perSecond(echo.perSecond, "requests") },
      {
        what: `authorize, ${manyConnections} connections`,
        value: perSecond(authorize.perSecond, "requests"),
        ratio: { name: `http_${choice}_over_echo`, value: authorize.perSecond / echo.perSecond },
      },
      ...(remembered === undefined ? [] : [{ what: "  remembered", value: percent(remembered) }]),
      { what: "  from request to answer, p50", value: duration(authorize.p50) },
      { what: "  from request to answer, p99", value: duration(authorize.p99) },
      ...serverRow(authorize.serverP99),
      ...(one === undefined ? [] : oneConnectionRows(one)),
      ...(filling === undefined ? [] : fillingRows(filling)),
    ],
  };
}

const serverRow = (p99: number | undefined): Row[] =>
  p99 === undefined
    ? []
    : [
        {
          what: `  what the server says it took, p99 (goal: below ${serverP99MsMax} ms)`,
          value: duration(p99),
          isMissed: p99 >= serverP99MsMax,
        },
      ];

const fillingRows = ({ echo, authorize }: HttpRates): Row[] => [
  {
    what: "authorize in the first seconds, while the decision cache fills",
    value: perSecond(authorize.perSecond, "requests"),
    ratio: { name: "http_zipf_filling_over_echo", value: authorize.perSecond / echo.perSecond },
  },
];

const oneConnectionRows = ({ echo, authorize }: HttpRates): Row[] => [
  { what: "echo, 1 connection, p50", value: duration(echo.p50) },
  {
    what: "authorize, 1 connection, p50",
    value: duration(authorize.p50),
    ratio: { name: "http_p50_over_echo", value: authorize.p50 / echo.p50 },
  },
  { what: "authorize, 1 connection, p99", value: duration(authorize.p99) },
];

/** `bytes` are those of the file of the log, per decision. */
export function fullSection({ plain, full, bytesPerDecision }: FullRates): Section {
  return {
    title:
      "POST /api/authorize with limits, all decisions logged and 1 % of the requests traced, beside a node without these",
    rows: [
      { what: "without limits, log and traces", value: perSecond(plain.perSecond, "requests") },
      {
        what: "with these",
        value: perSecond(full.perSecond, "requests"),
        ratio: { name: "http_full_over_plain", value: full.perSecond / plain.perSecond },
      },
      {
        what: "  from request to answer, p99, without and with",
        value: `${duration(plain.p99)}, ${duration(full.p99)}`,
      },
      { what: "disk per decision (goal: at most 150 bytes)", value: `${Math.round(bytesPerDecision)} bytes` },
    ],
  };
}

export function threadsSection(
  { generator, one, two, twoOverOne, cost }: ThreadRates,
  memory: ThreadMemory | undefined,
): Section {
  return {
    title: `POST /api/authorize with two threads, beside a node with one, on all cores (load from ${generator})`,
    rows: [
      { what: "one thread", value: perSecond(one, "requests") },
      {
        what: "two threads",
        value: perSecond(two, "requests"),
        ratio: { name: "http_threads_2_over_1", value: twoOverOne },
      },
      ...(cost === undefined
        ? []
        : [
            {
              what: "processor time of an answer, with two divided by with one",
              value: percent(cost),
              ratio: { name: "http_threads_cost_over_one", value: cost },
            },
          ]),
      ...(memory === undefined
        ? []
        : [
            {
              what: `memory with ${count(memory.facts)} facts, with one thread and with four`,
              value: `${megabytes(memory.one)}, ${megabytes(memory.four)}`,
              ratio: { name: "memory_threads_4_over_1", value: memory.four / memory.one },
            },
          ]),
    ],
  };
}

export function firstQuestionsSection({ first, later, firstOverLater }: FirstQuestions): Section {
  return {
    title: "the first question of each shape after a start, beside later ones",
    rows: [
      { what: "the first: p50, p99", value: `${duration(first.p50)}, ${duration(first.p99)}` },
      {
        what: "later ones: p50, p99",
        value: `${duration(later.p50)}, ${duration(later.p99)}`,
        ratio: { name: "first_question_over_later", value: firstOverLater },
      },
    ],
  };
}

export function besideSection(results: readonly Beside[]): Section {
  return {
    title: "POST /api/authorize, one question after the other, alone and beside other work of the node",
    rows: results.map(({ work, key, done, p99Alone, p99Beside, longestAlone, longestBeside }) => ({
      what: `${work}, ${done} times: p99 without and with it (longest)`,
      value: `${duration(p99Alone)} (${duration(longestAlone)}), ${duration(p99Beside)} (${duration(longestBeside)})`,
      ratio: { name: `p99_beside_${key}_over_alone`, value: p99Beside / p99Alone },
    })),
  };
}

export function tenEnvironmentsSection({ environments, connections, one, ten }: EnvironmentRates): Section {
  return {
    title: `POST /api/authorize in ${environments} hosted environments with a part of the facts each, beside one with all`,
    rows: [
      { what: `one environment, ${connections} connections`, value: perSecond(one.perSecond, "requests") },
      {
        what: `${environments} environments, ${connections} connections`,
        value: perSecond(ten.perSecond, "requests"),
        ratio: { name: "http_ten_environments_over_one", value: ten.perSecond / one.perSecond },
      },
      { what: "  from request to answer, p99, one and ten", value: `${duration(one.p99)}, ${duration(ten.p99)}` },
    ],
  };
}

export function idleSection({ environments, creation, primary, edge }: IdleCosts): Section {
  const rows = (node: string, cost: IdleCost | undefined): Row[] =>
    cost === undefined
      ? []
      : [
          {
            what: `own memory of the ${node} per environment (goal: below 2 MB)`,
            value: `${(cost.bytes / 1e6).toFixed(2)} MB`,
          },
          {
            what: `processor time of the ${node}, without and with them`,
            value: `${percent(cost.before)}, ${percent(cost.after)}`,
          },
        ];
  return {
    title: `${count(environments)} environments without requests, on a primary and an edge`,
    rows: [
      { what: "creating one, median (goal: below 100 ms)", value: duration(creation) },
      ...rows("primary", primary),
      ...rows("edge", edge),
    ],
  };
}

export function fairnessSection(results: readonly Fairness[]): Section {
  return {
    title: "POST /api/authorize of one environment while another one is flooded (goal: p99 within 2 times, or 10 ms)",
    rows: results.map(({ flood, alone, flooded }) => ({
      what: `${flood} from 200 connections: p99 without and with`,
      value: `${duration(alone.p99)}, ${duration(flooded.p99)}${flooded.p99 <= Math.max(2 * alone.p99, 10) ? "" : "  missed"}`,
    })),
  };
}

export function bodiesSection(times: readonly BodyTimes[]): Section {
  const [worst] = times;
  const over = ({ blocked, parsed }: BodyTimes): number => blocked / parsed;
  return {
    title: "hostile bodies of 1 MiB: how long others wait for the node, beside JSON.parse of the same body",
    rows: [
      ...times.map((body) => ({ what: body.name, value: `${duration(body.blocked)} of ${duration(body.parsed)}` })),
      ...(worst === undefined
        ? []
        : [{ what: "the worst of these", value: worst.name, ratio: { name: "body_over_parse", value: over(worst) } }]),
    ],
  };
}

export interface StartFigures {
  readonly facts: number;
  readonly starts: Times;
  readonly started: Memory | undefined;
  readonly asked: Memory | undefined;
}

export function startSection({ facts, starts, started, asked }: StartFigures): Section {
  const memory = (what: string, used: Memory | undefined): Row[] =>
    used === undefined
      ? []
      : [
          {
            what: `memory ${what} (without the file's pages)`,
            value: `${megabytes(used.resident)} (${megabytes(used.own)})`,
          },
        ];
  return {
    title: `a primary on a file of ${count(facts)} facts`,
    rows: [
      { what: "from the start of the process to the first answer, p50", value: duration(starts.p50) },
      ...memory("then", started),
      ...memory("after all questions over HTTP", asked),
    ],
  };
}

export function edgeStartSection(facts: number, start: EdgeStart): Section {
  const { total, made, fetched, unpacked, checked, rest } = start;
  const secondsMax = edgeStartSecondsMax(facts);
  const part = (what: string, ms: number): Row => ({ what: `  ${what}`, value: duration(ms) });
  return {
    title: `an edge that begins with nothing, ${count(facts)} facts, to its first answer (both nodes on this machine)`,
    rows: [
      {
        what: `edge_start_seconds (goal: at most ${secondsMax})`,
        value: `${(total / 1000).toFixed(2)} s`,
        isMissed: total / 1000 > secondsMax,
      },
      part("the primary makes a snapshot", made),
      part("the edge fetches it", fetched),
      part("unpacks it", unpacked),
      part("checks it", checked),
      part("starts, opens it and answers", rest),
    ],
  };
}

export interface EmptyFigures {
  readonly starts: Times;
  readonly loadedFacts: number;
  readonly loadSeconds: number;
  readonly loaded: Memory | undefined;
}

export function emptySection({ starts, loadedFacts, loadSeconds, loaded }: EmptyFigures): Section {
  return {
    title: "a primary that begins with nothing",
    rows: [
      { what: "from the start of the process to the first answer, p50", value: duration(starts.p50) },
      {
        what: `loading ${count(loadedFacts)} facts through oso-cloud`,
        value: perSecond(loadedFacts / loadSeconds, "facts"),
      },
      ...(loaded === undefined ? [] : [{ what: "memory then", value: megabytes(loaded.resident) }]),
    ],
  };
}

export function importSection({ facts, importedPerSecond, appliedPerSecond }: ImportRates): Section {
  return {
    title: `importing ${count(facts)} facts into a primary over HTTP, beside applying the same facts to a file, 1,000 an event`,
    rows: [
      { what: "apply", value: perSecond(appliedPerSecond, "facts") },
      {
        what: "ostiary import facts, start of the process included",
        value: perSecond(importedPerSecond, "facts"),
        ratio: { name: "import_over_apply", value: importedPerSecond / appliedPerSecond },
      },
    ],
  };
}

export function visibilitySection({ committed, visible, difference }: Visibility): Section {
  return {
    title: "from a write to an edge (primary and edge as processes, one fact a write, one write at a time)",
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

export function latencySection({ broker, bare, visible }: Latency): Section {
  const name = broker === undefined ? "embedded" : broker;
  return {
    title: `from commit on the primary to visible on an edge, through ${broker ?? "the embedded broker"}, beside a message of the same size between two processes through the same broker`,
    rows: [
      { what: "bare, from publishing to receiving, p50", value: duration(bare.p50) },
      { what: "bare, p99", value: duration(bare.p99) },
      {
        what: "commit -> visible, p50",
        value: duration(visible.p50),
        ratio: { name: `visible_${name}_over_bare`, value: visible.p50 / bare.p50 },
      },
      {
        what: "commit -> visible, p99",
        value: duration(visible.p99),
        ratio: { name: `visible_${name}_p99_over_bare`, value: visible.p99 / bare.p99 },
      },
    ],
  };
}

export function writesSection(rates: readonly WriteRates[]): Section {
  return {
    title: "writes that wait for the disk (64 at a time), beside bare commits of the same rows one after the other",
    rows: rates.flatMap(({ facts, writesPerSecond, commitsPerSecond }): Row[] => {
      const what = facts === 1 ? "single facts" : `batches of ${count(facts)} facts`;
      return [
        { what: `${what}: bare commits`, value: perSecond(commitsPerSecond, "commits") },
        {
          what: `${what}: writes`,
          value: perSecond(writesPerSecond, "writes"),
          ratio: { name: `write_${facts}_over_commit`, value: writesPerSecond / commitsPerSecond },
        },
      ];
    }),
  };
}

export function checkSection({ lines, bytes, parseJson, check, command }: CheckTimes): Section {
  const overJson = (what: string, name: string, { p50 }: Times): Row => ({
    what,
    value: duration(p50),
    ratio: { name, value: p50 / parseJson.p50 },
  });
  return {
    title: `checking a policy of ${count(lines)} lines (${Math.round(bytes / 1000)} kB), beside JSON.parse of it as one string`,
    rows: [
      { what: "JSON.parse, p50", value: duration(parseJson.p50) },
      overJson("check, in process, p50", "check_policy_over_json_parse", check),
      overJson("ostiary validate, start of the process included, p50", "validate_over_json_parse", command),
    ],
  };
}

/** A note that is needed to interpret the number of a peer. */
const peerNotes: Readonly<Record<string, string>> = {
  SpiceDB: "embedded, in memory",
  Cedar: "no store: each request brings the entities it needs, made beforehand",
};

export function peersSection({ questions, allowed, ownPerSecond, peers }: PeerRates): Section {
  return {
    title: `the same ${count(questions)} questions to others in process (${percent(allowed)} allowed, decision cache off): view = viewer + folder->view`,
    rows: [
      { what: "Ostiary (over its file)", value: perSecond(ownPerSecond, "checks") },
      ...peers.flatMap(({ name, rates }): Row[] => {
        const what = `${name} (${peerNotes[name]})`;
        if (typeof rates === "string") return [{ what, value: `not measured: ${rates}` }];
        const ratio = { name: `vs_${name.toLowerCase()}`, value: ownPerSecond / rates.perSecond };
        return [
          { what, value: perSecond(rates.perSecond, "checks"), ratio },
          { what: "  answers that differ from ours", value: count(rates.mismatches) },
        ];
      }),
    ],
  };
}

/** What was measured in each round. */
export interface RuntimeFigures {
  readonly authorizeMs: number[];
  readonly appliedPerSecond: number[];
  readonly startMs: number[];
  /** Requests per second over those of a bare echo server. */
  readonly httpOverEcho: number[];
}

export function runtimesSection({ Bun, Deno }: Readonly<Record<"Bun" | "Deno", RuntimeFigures>>): Section {
  const row = (
    what: string,
    name: string,
    of: (figures: RuntimeFigures) => number,
    show: (value: number) => string,
  ): Row[] => [
    { what: `${what} on Bun`, value: show(of(Bun)) },
    {
      what: `${what} on Deno`,
      value: show(of(Deno)),
      ratio: { name: `deno_over_bun_${name}`, value: of(Deno) / of(Bun) },
    },
  ];
  const times = (value: number): string => `${value.toFixed(3)} of an echo`;
  return {
    title: "the program on Deno beside the program on Bun (times: less is better; rates: more is better)",
    rows: [
      ...row("authorize in process, p50", "authorize", ({ authorizeMs }) => median(authorizeMs), duration),
      ...row("authorize over HTTP, 16 connections", "http", ({ httpOverEcho }) => median(httpOverEcho), times),
      ...row(
        "apply",
        "apply",
        ({ appliedPerSecond }) => median(appliedPerSecond),
        (value) => perSecond(value, "facts"),
      ),
      ...row("from the start of the process to the first answer", "start", ({ startMs }) => median(startMs), duration),
    ],
  };
}
