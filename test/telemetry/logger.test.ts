import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { mintNodeKey } from "../../src/store/keys/api-keys.ts";
import { inEnvironment } from "../../src/telemetry/current-environment.ts";
import { maskSecrets } from "../../src/telemetry/mask-secrets.ts";
import { threadCpuMs } from "../thread-cpu-time.ts";
import { getLogger, startLogging, type LoggingOptions } from "../../src/telemetry/logger.ts";

let lines: string[] = [];
const start = (options: LoggingOptions): void => startLogging(options, (line) => lines.push(line));

beforeEach(() => {
  lines = [];
});
afterAll(() => startLogging({ level: "error", format: "text" }));

describe("a log line", () => {
  test("as text has time, level, component, message and the properties that the message does not contain", () => {
    start({ level: "info", format: "text" });
    getLogger("broker").info("applied {count} events", { count: 3, node: "edge-1" });
    expect(lines[0]).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z info {4}broker: applied 3 events node=edge-1\n$/);
  });

  test("as text is one line, even with control characters in names", () => {
    start({ level: "info", format: "text" });
    getLogger("broker").warn("refused {node}", { node: "x\n2026 fatal: \u001b[31mforged", other: "a\rb" });
    expect(lines[0]).toEndWith("broker: refused x\\u000a2026 fatal: \\u001b[31mforged other=a\\u000db\n");
  });

  test("as JSON is one object per line", () => {
    start({ level: "info", format: "json" });
    getLogger("broker").warn("line\nbreak {why}", { why: "x" });
    expect(lines).toHaveLength(1);
    expect(lines[0]?.trimEnd()).not.toContain("\n");
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({
      level: "warning",
      part: "broker",
      message: "line\nbreak x",
      why: "x",
    });
  });

  test.each([
    ["text", /demo: started node=a environment=shop\n$/],
    ["json", /"message":"started","node":"a","environment":"shop"\}\n$/],
  ] as const)("of a hosted environment names it, also after timers (%s)", async (format, expected) => {
    start({ level: "info", format });
    getLogger("demo").info("started", { node: "a" });
    await inEnvironment("shop", async () => {
      await new Promise((resolve) => void setTimeout(resolve, 1));
      getLogger("demo").info("started", { node: "a" });
    });
    expect(lines[0]).not.toContain("environment");
    expect(lines[1]).toMatch(expected);
  });

  test("is cut if it is too long, as text and as JSON", () => {
    const long = "ä\u0000".repeat(30_000);
    start({ level: "info", format: "text", lineBytesMax: 4096 });
    getLogger("broker").warn("refused {node}", { node: long, other: long });
    getLogger("broker").error("failed", { error: new Error(long) });
    start({ level: "info", format: "json", lineBytesMax: 4096 });
    getLogger("broker").warn("refused {node}", { node: long, other: { deep: long } });
    expect(lines).toHaveLength(3);
    for (const line of lines) expect(Buffer.byteLength(line)).toBeLessThan(4200);
    expect(lines[0]).toEndWith("… (cut)\n");
    expect(JSON.parse(lines[2] ?? "")).toMatchObject({ level: "warning", part: "broker", cut: true });
  });

  test("appears from the configured level on", () => {
    start({ level: "warning", format: "text" });
    getLogger("a").info("not this");
    getLogger("a").error("but this");
    expect(lines.join("")).toContain("but this");
    expect(lines.join("")).not.toContain("not this");
  });

  test.each(["text", "json"] as const)("never shows a secret (%s)", (format) => {
    start({ level: "debug", format });
    const key = "e_0123456789_12345_osotesttoken01xiIn";
    const log = getLogger("auth");
    log.info("refused {key}", { key });
    const token = `eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.${"c2lnbmF0dXJl".repeat(3)}`;
    log.info(`the header ${token}, {text}`, { text: `a ${token}` });
    log.info("headers", { authorization: "Bearer abcdefghijkl", nodeKey: "hunter2", nested: { key } });
    log.error("failed", { error: new Error(`while reading ${key}`) });
    log.info(`started with ${mintNodeKey("my-env")}`);
    const text = lines.join("");
    expect(text).not.toContain("osotesttoken");
    expect(text).not.toContain("abcdefghijkl");
    expect(text).not.toContain("c2lnbmF0dXJl");
    expect(text).not.toContain("hunter2");
    expect(text).toContain("e_0123456789_12345_********");
    expect(text).toMatch(/started with n_my-env_\*{8}["\n]/);
  });

  test.each(["text", "json"] as const)("never shows the user information of a URL (%s)", (format) => {
    start({ level: "debug", format });
    const log = getLogger("broker");
    log.info("no connection to {url}", { url: "mqtt://user:hunter2@broker:1883" });
    log.info("brokers", { urls: ["mqtts://user:p@hunter2/?#@one", 'mqtt://user:"hunter2\\@two'], mail: "a@b" });
    log.error("failed", { error: new Error("outer", { cause: new Error("https://hunter2@host/path is not valid") }) });
    log.info("https://[::1]:80/@scope http://host/x@y file:///@scope a@b mqtt://host,mqtt://user:hunter2@three");
    const text = lines.join("");
    expect(text).not.toContain("hunter2");
    for (const shown of ["mqtt://********@broker:1883", "mqtts://********@one", "mqtt://********@two"])
      expect(text).toContain(shown);
    expect(text).toContain("https://********@host/path is not valid");
    expect(text).toContain("https://[::1]:80/@scope http://host/x@y file:///@scope a@b");
    expect(text).toContain("mqtt://host,mqtt://********@three");
    if (format === "json") for (const line of lines) expect(JSON.parse(line)).toBeObject();
  });

  test("masks long texts in linear time", () => {
    for (const part of ["a", "://", "://a:", "@", "\\", "x@://", "[", ":", "eyJ", "eyJa-", "eyJa.", "-eyJa.b "]) {
      const beforeMs = threadCpuMs();
      maskSecrets(`mqtt://${part.repeat(500_000)}`);
      expect(threadCpuMs() - beforeMs).toBeLessThan(5000);
    }
  });

  test("shows an error with its stack and its cause", () => {
    start({ level: "info", format: "text" });
    getLogger("writer").error("a write failed", { error: new Error("outer", { cause: new Error("inner") }) });
    expect(lines[0]).toContain("Error: outer");
    expect(lines[0]).toContain("caused by Error: inner");
    expect(lines[0]).toContain("logger.test.ts");
  });
});
