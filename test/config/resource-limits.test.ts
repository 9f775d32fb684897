/** Defaults of limits that follow from the memory and the processors of a container. */
import { describe, expect, test } from "bun:test";
import { defaultLimits } from "../../src/config/limits.ts";
import { loadConfig } from "../../src/config/load.ts";
import { describeResources, limitsWithin } from "../../src/config/resource-limits.ts";
import { must } from "../../src/util/assert.ts";

const MiB = 1024 * 1024;
const none = { memoryBytes: undefined, processors: undefined };
const memory = (mebibytes: number) => ({ memoryBytes: mebibytes * MiB, processors: undefined });

describe("without limits of the system", () => {
  test("all defaults stay", () => {
    expect(limitsWithin(none)).toEqual({});
    expect(describeResources(none)).toBeUndefined();
  });

  test("and with plenty of memory and processors, too", () =>
    expect(limitsWithin({ memoryBytes: 64 * 1024 * MiB, processors: 16 })).toEqual({}));
});

describe("a limit of memory", () => {
  test.each([256, 512, 1024, 2048, 4096, 8192])(
    "of %d MiB only lowers limits, to values that are accepted",
    (mebibytes) => {
      const lowered = limitsWithin(memory(mebibytes));
      expect(Object.keys(lowered)).not.toEqual([]);
      for (const [name, value] of Object.entries(lowered))
        expect(value).toBeLessThan(defaultLimits[name as keyof typeof defaultLimits]);
      const { config, problems } = load(memory(mebibytes));
      expect(problems).toEqual([]);
      expect(must(config).limits).toMatchObject(lowered);
    },
  );

  test.each([2048, 4096, 6144])(
    "of %d MiB suffices for all worker processes at once, and leaves 40 % for the node",
    (mebibytes) => {
      const limits = { ...defaultLimits, ...limitsWithin(memory(mebibytes)) };
      const { slowQueriesMax, policyChecksAtWorkMax, queryMemoryBytesMax, policyCheckMemoryBytesMax } = limits;
      const queries = (slowQueriesMax + 1 + 2) * (queryMemoryBytesMax + 100 * MiB);
      const checks = 2 * policyChecksAtWorkMax * (policyCheckMemoryBytesMax + 100 * MiB);
      expect(queries + checks).toBeLessThanOrEqual(0.6 * mebibytes * MiB);
      const { bufferedBytesMax, resultSetsBytesMax, symbolCacheEntriesMax, decisionCacheEntriesMax } = limits;
      const node = bufferedBytesMax + resultSetsBytesMax + 40 * symbolCacheEntriesMax + 500 * decisionCacheEntriesMax;
      expect(node).toBeLessThanOrEqual(0.3 * mebibytes * MiB);
    },
  );

  test("leaves what the configuration sets", () => {
    const file = { name: "ostiary.yaml", content: { advanced: { queryMemoryBytesMax: "300MiB" } } };
    const { config } = load(memory(1024), file);
    expect(must(config).limits).toMatchObject({ queryMemoryBytesMax: 300 * MiB, policyCheckMemoryBytesMax: 64 * MiB });
  });
});

test.each([
  [0.5, 1, 1],
  [1, 1, 1],
  [2, 2, 2],
  [4, 3, 2],
])("with %d processors %d slow queries and %d policy checks run at a time", (processors, slow, checks) => {
  const limits = { ...defaultLimits, ...limitsWithin({ memoryBytes: undefined, processors }) };
  expect(limits).toMatchObject({ slowQueriesMax: slow, policyChecksAtWorkMax: checks });
});

test("the log names what is lower, and how much there is", () => {
  const text = describeResources({ memoryBytes: 1024 * MiB, processors: 0.5 });
  expect(text).toStartWith(
    "the control group of this process has 1024 MiB of memory and 0.5 processors, so the defaults of `",
  );
  expect(text).toContain("`queryMemoryBytesMax`");
});

function load(resources: Parameters<typeof limitsWithin>[0], file?: { name: string; content: unknown }) {
  return loadConfig({ environment: {}, flags: { role: "primary" }, resources, ...(file && { file }) });
}
