import { expect, test } from "bun:test";
import { defaultLimits } from "../../src/config/limits.ts";
import { readSources } from "../tidy/source-file.ts";

test("every limit is used: its name occurs outside of config/", () => {
  const sources = readSources().filter(({ path }) => path.startsWith("src/") && !path.startsWith("src/config/"));
  const unread = Object.keys(defaultLimits).filter(
    (name) => !sources.some(({ text }) => new RegExp(`\\b${name}\\b`).test(text)),
  );
  expect(unread).toEqual([]);
});
