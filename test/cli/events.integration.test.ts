/** `ostiary events` with a real node: its output as text and as JSON, and that `--follow` misses no event. */
import { describe, expect, test } from "bun:test";
import { freePort } from "../../scripts/node-process.ts";
import { adminKey, eventually, insert, loadPolicy, post, reader, withCluster } from "../replication/cluster.ts";
import { wildcardPolicy } from "../http/api.ts";
import { workspace } from "./workspace.ts";

const { run, start } = workspace();
const timeoutMs = 120_000;

const access = (url: string) => ({ OSO_URL: url, OSO_AUTH: adminKey });
const place = (line: string) => line.replace(/^\S+ +/, "");

describe("the log", () => {
  test(
    "is printed as text, one line per change",
    () =>
      withCluster(async (cluster) => {
        const primary = await cluster.primary();
        await post(primary.url, "/api/policy", {
          src: wildcardPolicy,
          filename: "wild.polar",
          message: "why\n not",
        });
        const strange = {
          ...reader("a"),
          args: [{ type: "User", id: "bell\u0007" }, ...reader("a", "x").args.slice(1, 2), { type: "Org", id: "x" }],
        };
        await post(primary.url, "/api/batch", [{ inserts: [strange] }]);
        await post(primary.url, "/api/clear_data", null);
        const made = await post(primary.url, "/api/keys", { name: 'web "shop"', role: "read" });
        const { id } = (await made.json()) as { id: string };
        const many = Array.from({ length: 60 }, (_, user) => ({
          predicate: "has_role",
          args: [
            { type: "User", id: `u${user}` },
            { type: "String", id: "member" },
            { type: "Org", id: "x" },
          ],
        }));
        await post(primary.url, "/api/batch", [{ inserts: many }]);

        const { status, output, errors } = await run(["events"], "", access(primary.url));
        expect([status, errors]).toEqual([0, ""]);
        const [headings, ...lines] = output.trimEnd().split("\n");
        expect(headings).toMatch(/^TIME {22,}OFFSET  CHANGE$/);
        expect(headings?.indexOf("CHANGE")).toBe(lines[0]?.indexOf("+ key") ?? -1);
        expect(lines.slice(0, 6).map(place)).toEqual([
          '1  + key admin "admin" (admin)',
          '2  policy wild.polar loaded (number 1, 15 lines) by key admin "admin": why\\u000a not',
          '3  + has_role(User{"bell\\u0007"}, "reader", Org{"x"})',
          "4  all facts deleted",
          `5  + key ${id} "web \\"shop\\"" (read)`,
          '6  + has_role(User{"u0"}, "member", Org{"x"})',
        ]);
        expect(lines[0]).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z {9}1 {2}/);
        expect(lines).toHaveLength(5 + 51);
        expect(lines.at(-1)).toEndWith("6  … 10 more changes; --json has all");
        const later = await run(["events", "--after", "3"], "", access(primary.url));
        expect(later.output).toBe(`${[headings, ...lines.slice(3)].join("\n")}\n`);
      }),
    timeoutMs,
  );

  test(
    "is printed as CloudEvents, one per line, over several pages",
    () =>
      withCluster(
        async (cluster) => {
          const primary = await cluster.primary();
          await loadPolicy(primary.node);
          for (let user = 0; user < 8; user += 1) await insert(primary.node, `user-${user}`);
          const { status, output } = await run(["events", "--json"], "", access(primary.url));
          expect(status).toBe(0);
          const events = output
            .trimEnd()
            .split("\n")
            .map((line) => JSON.parse(line) as Record<string, unknown>);
          expect(events.map(({ offset }) => offset)).toEqual(["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]);
          expect(events[2]).toMatchObject({ specversion: "1.0", type: "ostiary.facts.changed" });
        },
        { "advanced.eventsPageMax": "3" },
      ),
    timeoutMs,
  );

  test(
    "is refused with the reason for a wrong position",
    () =>
      withCluster(async (cluster) => {
        const primary = await cluster.primary();
        const ended = await run(["events", "--after", "99"], "", access(primary.url));
        expect([ended.status, ended.errors]).toEqual([1, expect.stringContaining("answered 400: the log ends at 1")]);
        const other = await run(["events", "--follow", "--after", "0123456789abcdef:1"], "", access(primary.url));
        expect([other.status, other.errors]).toEqual([
          1,
          expect.stringContaining("is not part of this environment's history"),
        ]);
        const wrong = await run(["events", "--after", "yesterday"], "", access(primary.url));
        expect([wrong.status, wrong.errors]).toEqual([
          2,
          expect.stringContaining("`yesterday` is not a position in a log"),
        ]);
        const refused = await run(["events", "--follow"], "", {
          ...access(primary.url),
          OSO_AUTH: "e_test_x_0123456789abcdef",
        });
        expect([refused.status, refused.errors]).toEqual([1, expect.stringContaining("answered 401")]);
      }),
    timeoutMs,
  );
});

describe("--follow", () => {
  test(
    "continues after a restart of the node, misses no event, and ends with a signal",
    () =>
      withCluster(async (cluster) => {
        const port = String(await freePort());
        const primary = await cluster.primary({ port });
        await loadPolicy(primary.node);
        await using child = await start(["events", "--follow", "--json"], access(primary.url));
        const seen: string[] = [];
        const reading = readLines(child.stdout, seen);
        // A stream that opens later does not have earlier events.
        await reached(seen, 1, (round) => insert(primary.node, `first-${round}`));
        const before = primary.node.health().offset ?? 0;
        await primary.stop();
        const again = await cluster.primary({ port });
        for (let user = 0; user < 5; user += 1) await insert(again.node, `second-${user}`);
        // The second start begins a term.
        const end = before + 1 + 5;
        await reached(seen, end);
        child.kill("SIGINT");
        await reading;
        expect(await child.exited).toBe(0);
        const offsets = seen.map(offsetOf);
        expect(offsets.at(-1)).toBe(end);
        expect(offsets).toEqual(offsets.map((_, index) => (offsets[0] ?? 0) + index));
        expect(await child.stderr.text()).toMatch(
          /^http:\S+: this node stops, continue at another one; trying again\n$/,
        );
      }),
    timeoutMs,
  );

  test(
    "ends when its output is closed",
    () =>
      withCluster(async (cluster) => {
        const primary = await cluster.primary();
        await loadPolicy(primary.node);
        await using child = await start(["events", "--follow", "--after", "0"], access(primary.url));
        const reader = child.stdout.getReader();
        await reader.read();
        await reader.cancel();
        // It learns of that when it writes, and an event may come before its output is closed.
        let users = 0;
        await eventually(async () => {
          await insert(primary.node, `user-${users++}`);
          expect(child.exitCode).not.toBeNull();
        });
        expect(await child.exited).toBe(0);
      }),
    timeoutMs,
  );
});

async function readLines(stream: ReadableStream<Uint8Array>, lines: string[]): Promise<void> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const bytes of stream) {
    const parts = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    lines.push(...parts);
  }
}

const offsetOf = (line: string) => Number((JSON.parse(line) as { offset: string }).offset);

/** Waits until an event with this offset or a later one was printed. */
async function reached(
  seen: readonly string[],
  offset: number,
  meanwhile: (round: number) => Promise<unknown> = async () => {},
): Promise<void> {
  let round = 0;
  await eventually(async () => {
    await meanwhile(round++);
    expect(offsetOf(seen.at(-1) ?? '{"offset":"0"}')).toBeGreaterThanOrEqual(offset);
  });
}
