import { expect, test } from "bun:test";
import { formatYaml, parseYaml } from "../../src/runtime/yaml.ts";

test("YAML goes out and comes back the same", () => {
  const value = {
    host: "127.0.0.1",
    port: 8080,
    limits: { writeBodyBytesMax: 983040 },
    nodeKey: null,
    id: "08",
    flag: "no",
  };
  expect(parseYaml(formatYaml(value))).toEqual(value);
  expect(formatYaml(value)).toStartWith("host: 127.0.0.1\n");
});

test("bad YAML throws", () => {
  expect(() => parseYaml("a: [1, 2")).toThrow();
});
