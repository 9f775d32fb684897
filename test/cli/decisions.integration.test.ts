/** `ostiary decisions` with real nodes: merged logs, the export, live output, explanations and replays. */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { adminKey, converged, insert, loadPolicy, policy, post, withCluster } from "../replication/cluster.ts";
import { readUntil } from "./read-until.ts";
import { workspace } from "./workspace.ts";

const { run, start, write } = workspace();
const timeoutMs = 120_000;
const all = { "decisions.log": "all" };
const access = (url: string) => ({ OSO_URL: url, OSO_AUTH: adminKey });

const questionOf = (user: string) => ({
  ...{ actor_type: "User", actor_id: user, action: "read", resource_type: "Repo", resource_id: "main" },
});

async function ask(url: string, user: string): Promise<void> {
  expect((await post(url, "/api/authorize", questionOf(user))).status).toBe(200);
}

const actorsIn = (output: string) => [...output.matchAll(/User\{"(\w+)"\}/g)].map(([, id]) => id);

test(
  "the logs of several nodes are merged by time, as text and as JSON, and followed",
  () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      await insert(primary.node, "u1");
      const edge = await cluster.edge("edge", primary);
      await converged(edge.node, primary.node);
      const asked = ["u1", "u2", "u3", "u4", "u5", "u6"];
      for (const [index, user] of asked.entries()) {
        await ask(index % 2 === 0 ? primary.url : edge.url, user);
        // Times are in milliseconds, and must differ.
        for (const askedMs = Date.now(); Date.now() === askedMs;) await Bun.sleep(1);
      }
      const environment = access(primary.url);
      const own = await run(["decisions"], "", environment);
      expect([own.status, own.errors, actorsIn(own.output)]).toEqual([0, "", ["u1", "u3", "u5"]]);
      expect(own.output).toMatch(
        /^TIME +RESULT +QUESTION +KEY +REQUEST +ID\n\S+Z {2}allow {7}User\{"u1"\} read Repo\{"main"\} {2}admin {2}\S+ {2}\w{8}-1\n/,
      );
      const merged = ["decisions", "--node", edge.url];
      expect(actorsIn((await run(merged, "", environment)).output)).toEqual(asked);
      expect(actorsIn((await run([...merged, "--all"], "", environment)).output)).toEqual(asked);
      expect(actorsIn((await run([...merged, "--limit", "2"], "", environment)).output)).toEqual(["u5", "u6"]);
      const exported = await run([...merged, "--all", "--json", "--result", "deny"], "", environment);
      const decisions = exported.output
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as { actor: { id: string } });
      expect(decisions.map(({ actor }) => actor.id)).toEqual(asked.slice(1));
      const found = await run(
        [...merged, "--actor", "User:u4", "--action", "read", "--resource", "Repo:main"],
        "",
        environment,
      );
      expect(actorsIn(found.output)).toEqual(["u4"]);

      await using child = await start([...merged, "--follow"], environment);
      const seen = readUntil(child.stdout, /"new1".*\n(?:.*\n)*?.*"new2"/);
      // The streams begin with the decisions that are made after they were opened.
      let isSeen = false;
      void seen.finally(() => (isSeen = true)).catch(() => {});
      while (!isSeen) {
        await ask(edge.url, "new1");
        await ask(primary.url, "new2");
      }
      expect((await seen)[0]).toContain("new2");
      child.kill();
    }, all),
  timeoutMs,
);

test(
  "what the same key asked in the web console is left out on demand",
  () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      const headers = {
        authorization: `Bearer ${adminKey}`,
        "content-type": "application/json",
        "x-request-id": "console-1",
      };
      const body = JSON.stringify(questionOf("ann"));
      expect((await fetch(`${primary.url}/api/authorize`, { method: "POST", headers, body })).status).toBe(200);
      await ask(primary.url, "bob");
      const environment = access(primary.url);
      expect(actorsIn((await run(["decisions"], "", environment)).output)).toEqual(["ann", "bob"]);
      expect(actorsIn((await run(["decisions", "--without-console"], "", environment)).output)).toEqual(["bob"]);
      expect((await run(["traces", "--without-console"], "", environment)).status).toBe(0);
    }, all),
  timeoutMs,
);

test(
  "a decision is explained, and a policy is replayed",
  () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      await insert(primary.node, "ann");
      await ask(primary.url, "ann");
      await ask(primary.url, "bob");
      await post(primary.url, "/api/clear_data", null);
      const environment = access(primary.url);
      const { output } = await run(["decisions", "--json", "--all"], "", environment);
      const [ann, bob] = output
        .trimEnd()
        .split("\n")
        .map((line) => (JSON.parse(line) as { id: string }).id);
      const explained = await run(["decisions", "explain", ann ?? ""], "", environment);
      expect([explained.status, explained.errors]).toEqual([0, ""]);
      expect(explained.output).toContain('has_role(User{"ann"}, "reader", Repo{"main"})');
      const unknown = await run(["decisions", "explain", "00000000-1"], "", environment);
      expect([unknown.status, unknown.output]).toEqual([1, ""]);
      expect(unknown.errors).toContain("does not have this decision");

      const file = write("next.polar", `${policy} has_permission(_: User, "read", _: Repo);`);
      const replay = ["decisions", "replay", "--policy", file];
      const changed = await run([...replay, "--fail-on-change"], "", environment);
      expect([changed.status, changed.errors]).toEqual([1, ""]);
      expect(changed.output).toContain(`User{"bob"} read Repo{"main"}: deny -> allow  ${bob}\n`);
      expect(changed.output).toEndWith("1 of 2 decisions would change\n");
      const same = await run(["decisions", "replay", "--policy", write("same.polar", policy)], "", environment);
      expect([same.status, same.output]).toEqual([0, "0 of 2 decisions would change\n"]);
      const wrong = await run(["decisions", "replay", "--policy", write("wrong.polar", "actor")], "", environment);
      expect([wrong.status, wrong.output]).toEqual([1, ""]);
      expect((await run(["decisions", "replay"], "", environment)).status).toBe(2);
      expect((await run(["decisions", "--follow", "--all"], "", environment)).status).toBe(2);
    }, all),
  timeoutMs,
);
