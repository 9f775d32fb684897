import { expect, test } from "bun:test";
import { EventEmitter } from "node:events";
import { currentEnvironment, inEnvironment, inThisEnvironment } from "../../src/telemetry/current-environment.ts";

test("outside of hosted environments there is none, also after one", () => {
  expect(currentEnvironment()).toBeUndefined();
  expect(inEnvironment("shop", () => currentEnvironment())).toBe("shop");
  expect(currentEnvironment()).toBeUndefined();
});

test("timers, promises and nested environments have their own", async () => {
  const seen = await Promise.all(
    ["shop", "bank"].map((id) =>
      inEnvironment(id, async () => {
        await new Promise((resolve) => void setTimeout(resolve, 1));
        const inner = await inEnvironment("inner", () => Promise.resolve().then(currentEnvironment));
        return [currentEnvironment(), inner];
      }),
    ),
  );
  expect(seen).toEqual([
    ["shop", "inner"],
    ["bank", "inner"],
  ]);
});

test("a bound listener has the environment in which it was bound", () => {
  const emitter = new EventEmitter();
  const seen: unknown[] = [];
  const listen = (): void =>
    void emitter.on(
      "x",
      inThisEnvironment((value) => seen.push(value, currentEnvironment())),
    );
  listen();
  inEnvironment("shop", listen);
  inEnvironment("other", () => emitter.emit("x", 1));
  expect(seen).toEqual([1, undefined, 1, "shop"]);
});
