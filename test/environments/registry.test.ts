/** Changes of the list of environments that too few edges have acknowledged. */
import { expect, test } from "bun:test";
import type { Node, Writes } from "../../src/replication/node.ts";
import { EnvironmentRegistry } from "../../src/environments/registry.ts";
import type { RunningNode } from "../../src/roles/node-service.ts";
import type { StoreState } from "../../src/store/log/store-state.ts";
import { AppError } from "../../src/util/app-error.ts";

test("a change stays unacknowledged until edges have it, and one that was refused does not begin to be", async () => {
  let failure: Error | undefined;
  const written: Parameters<Writes["batch"]>[0][] = [];
  const writes = {
    batch(changes) {
      written.push(changes);
      return failure === undefined ? Promise.resolve({ epoch: "e", offset: 1, timeMs: 0 }) : Promise.reject(failure);
    },
  } as Partial<Writes> as Writes;
  const node = { writes, state: () => ({ policyId: 1 }) as Partial<StoreState> as StoreState } as Partial<Node> as Node;
  const registry = new EnvironmentRegistry({ node: () => node } as Partial<RunningNode> as RunningNode);
  const entry = { id: "shop", name: "shop", createdMs: 5, deletedMs: undefined };
  const put = (): Promise<string> =>
    registry.put(entry).then(
      () => "done",
      (error: Error) => error.message,
    );
  failure = new AppError("not_ready", "refused");
  expect([await put(), registry.isUnacknowledged("shop")]).toEqual(["refused", false]);
  failure = new AppError("not_ready", "uncertain", { mayBeDone: true });
  expect([await put(), registry.isUnacknowledged("shop")]).toEqual(["uncertain", true]);
  expect(registry.isUnacknowledged("web")).toBe(false);
  await expect(registry.awaitEdges("shop")).rejects.toThrow("uncertain");
  failure = undefined;
  written.length = 0;
  await registry.awaitEdges("shop");
  expect([written, registry.isUnacknowledged("shop")]).toEqual([[[]], false]);
});
