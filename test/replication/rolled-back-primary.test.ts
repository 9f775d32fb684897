/** A primary whose whole directory was rolled back, for example to a snapshot of its volume. */
import { expect, test } from "bun:test";
import { freePort } from "../../scripts/node-process.ts";
import { parseToken } from "../../src/log/event/position.ts";
import { firstTerm } from "../../src/store/log/terms.ts";
import { policy, post, withCluster } from "./cluster.ts";
import { positionAt, quick } from "./three-nodes.ts";
import { mayReadWith, saved, written } from "./written.ts";

test("assigns no position twice, and reports tokens of lost writes", () =>
  withCluster(async (cluster) => {
    const flags = { ...quick, port: String(await freePort()) };
    const first = await cluster.member(flags);
    expect((await post(first.url, "/api/policy", { src: policy })).ok).toBe(true);
    expect((await positionAt(first.url)).term).toBe(firstTerm);
    const kept = await written(first.url, "ann");
    await first.stop();
    const rollBack = saved(first.data);
    const second = await cluster.member(flags);
    const lost = await written(second.url, "bob");
    await second.stop();
    rollBack();
    const third = await cluster.member(flags);
    const [before, after] = [parseToken(lost), parseToken(await written(third.url, "eve"))];
    expect(after.offset).toBe(before.offset);
    expect(after.epoch).not.toBe(before.epoch);
    expect(await mayReadWith(third.url, "ann", kept)).toEqual({ status: 200, allowed: true });
    expect((await mayReadWith(third.url, "bob", lost)).status).toBe(409);
    expect(await mayReadWith(third.url, "bob")).toEqual({ status: 200, allowed: false });
  }));
