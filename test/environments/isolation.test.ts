/**
 * Nothing of one environment is visible with a key of another one: each route answers as if the other one did not exist.
 * Two appliances are compared, one with a filled environment beside the asking one, the other without it.
 */
import { expect, test } from "bun:test";
import { createApp } from "../../src/features/app.ts";
import { adminKey, withCluster } from "../replication/cluster.ts";
import { defaultLimits } from "../../src/config/limits.ts";
import { ask, comparable, createEnvironment, fill, mayRead } from "./host.ts";

const secret = "zebra";
const timeoutMs = 120_000;

test(
  "no route reveals anything of another environment",
  () =>
    withCluster(async (full) =>
      withCluster(async (empty) => {
        const beside = await full.host("primary", "primary");
        const alone = await empty.host("primary", "primary");
        const other = await createEnvironment(beside, secret, { name: secret });
        await fill(beside, other, secret, `${secret}2`);
        await fill(beside, adminKey, secret);
        for (const node of [beside, alone]) {
          const key = await createEnvironment(node, "asking");
          await fill(node, key, "ann");
          // Keys of the environments that exist in both, and of none.
          expect(await mayRead(node, key, secret)).toBe(false);
        }
        const { routes } = createApp(beside.node(), defaultLimits, { isHosted: true });
        expect(routes.length).toBeGreaterThan(50);
        const keys = { besides: await createEnvironment(beside, "k1"), alone: await createEnvironment(alone, "k1") };
        for (const { method: registered, path } of routes) {
          const method = registered === "ALL" ? "GET" : registered;
          // They change or stop something, and have tests of their own.
          if (["/api/backup"].includes(path)) continue;
          for (const target of [
            path.replaceAll(/:\w+/g, secret).replace("*", secret),
            `${path.replaceAll(/:\w+/g, secret).replace("*", secret)}?predicate=has_role&actor_id=${secret}`,
          ])
            for (const body of method === "GET" || method === "HEAD" ? [undefined] : [undefined, {}, []]) {
              const [here, there] = [
                await ask(beside, keys.besides, method, target, body),
                await ask(alone, keys.alone, method, target, body),
              ];
              // How many refused requests the audit log has depends on the time between them.
              const answers = [here, there].map((reply) =>
                comparable(path === "/api/audit" && reply.status === 200 ? { ...reply, text: "" } : reply),
              );
              expect({ method, target, body, answer: answers[0] }).toEqual({
                method,
                target,
                body,
                answer: answers[1],
              });
              expect(here.text).not.toContain(other.split("_")[2]);
              // A response may repeat the path of its request, and the audit log those of all.
              if (!target.includes(secret) && path !== "/api/audit") expect(here.text).not.toContain(secret);
            }
        }
      }),
    ),
  timeoutMs,
);
