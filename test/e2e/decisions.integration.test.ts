/**
 * The decision log of a node that is killed while it decides: what was written is intact, each logged decision is one
 * that was made, and the number of dropped ones is right.
 */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { join } from "node:path";
import type { LoggedDecision } from "../../src/decisions/logged-decision.ts";
import { SqliteDatabase } from "../../src/runtime/sqlite.ts";
import { must } from "../../src/util/assert.ts";
import { scenarioTimeoutMs, withCluster } from "./cluster.ts";

const decisionsMin = 10_000;
const clients = 16;
const evaluationsEach = 400;

test(
  `${decisionsMin} decisions under load, then kill -9`,
  () =>
    withCluster(
      {
        broker: "embedded",
        edges: 0,
        // Bursts are larger than the buffer.
        environment: { OSTIARY_DECISIONS_LOG: "all", OSTIARY_DECISION_BUFFER_BYTES_MAX: "100000" },
      },
      async ({ primary, adminKey }) => {
        const headers = { Authorization: `Bearer ${adminKey}`, "Content-Type": "application/json" };
        const post = (path: string, id: string, body: object) =>
          fetch(primary.url + path, {
            method: "POST",
            headers: { ...headers, "X-Request-ID": id },
            body: JSON.stringify(body),
          });
        const results = new Map<string, boolean>();
        const answeredMs: number[] = [];
        let [asked, sent, isKilled] = [0, 0, false];
        const subject = (index: number) => ({ type: "User", id: index % 3 === 0 ? "bob" : `user-${index}` });
        const resource = { type: "Organization", id: "acme" };
        const decide = async (): Promise<void> => {
          const id = `request-${sent++}`;
          const actor = subject(sent);
          asked += 1;
          const question = { actor_type: "User", actor_id: actor.id, action: "read" };
          const answer = await post("/api/authorize", id, {
            ...question,
            ...{ resource_type: resource.type, resource_id: resource.id },
          });
          results.set(id, ((await answer.json()) as { allowed: boolean }).allowed);
          answeredMs.push(Date.now());
        };
        const decideMany = async (): Promise<void> => {
          asked += evaluationsEach;
          const evaluations = Array.from({ length: evaluationsEach }, (_, index) => ({ subject: subject(index) }));
          const answer = await post("/access/v1/evaluations", "many", {
            action: { name: "read" },
            resource,
            evaluations,
          });
          await answer.json();
          const nowMs = Date.now();
          for (let index = 0; index < evaluationsEach; index++) answeredMs.push(nowMs);
        };
        const client = async (): Promise<void> => {
          while (!isKilled) {
            try {
              await (Math.random() < 0.02 ? decideMany() : decide());
            } catch {
              // The node was killed.
            }
          }
        };
        const running = Array.from({ length: clients }, client);
        while (answeredMs.length < decisionsMin || results.size < decisionsMin / 4) await Bun.sleep(5);
        await primary.kill();
        isKilled = true;
        await Promise.all(running);

        const log = new SqliteDatabase(join(primary.directory, "decisions.db"));
        expect(log.prepare("PRAGMA integrity_check").values()).toEqual([["ok"]]);
        log.close();
        await primary.start();
        const logged: LoggedDecision[] = [];
        for (let after = ""; ;) {
          const page = await fetch(`${primary.url}/api/decisions?order=oldest&limit=1000${after}`, { headers });
          const { decisions, next } = (await page.json()) as { decisions: LoggedDecision[]; next: string | null };
          logged.push(...decisions);
          if (next === null) break;
          after = `&after=${next}`;
        }
        const last = must(logged.at(-1), "decisions were written");
        const numberOf = ({ id }: LoggedDecision): number => Number(id.split("-")[1]);
        // Each number is that of a written or a dropped decision.
        let before = 0;
        for (const decision of logged) {
          expect(numberOf(decision)).toBe(before + decision.dropped_before + 1);
          before = numberOf(decision);
        }
        // Everything that was decided before the last written decision is counted, and nothing else.
        expect(answeredMs.filter((ms) => ms < Date.parse(last.time)).length).toBeLessThanOrEqual(numberOf(last));
        expect(numberOf(last)).toBeLessThanOrEqual(asked);
        const seen = new Set<string>();
        for (const { request_id: id, result, actor } of logged) {
          expect(result).toBe(actor?.id === "bob" ? "allow" : "deny");
          if (id === null || id === "many") continue;
          expect(seen.has(id)).toBe(false);
          seen.add(id);
          if (results.has(id)) expect(results.get(id)).toBe(result === "allow");
        }
        const dropped = numberOf(last) - logged.length;
        console.log(`${answeredMs.length} answers, ${logged.length} decisions written, ${dropped} dropped`);
        expect(logged.length).toBeGreaterThan(1000);
      },
    ),
  scenarioTimeoutMs,
);
