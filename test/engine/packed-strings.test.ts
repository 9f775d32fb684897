/** Lists of ids as bytes, and how a long one comes from a worker process. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultLimits } from "../../src/config/limits.ts";
import { Engine } from "../../src/engine/engine.ts";
import { bytesOf, fromPieces, pageOf, packStrings, pieceOf } from "../../src/engine/request/packed-strings.ts";
import { QueryDispatcher } from "../../src/engine/workers/query-dispatcher.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { answerPieceBytes } from "../../src/util/tuning.ts";
import { writeFile } from "../../scripts/benchmark/store-file.ts";
import { fact } from "./store.ts";

describe("packed strings", () => {
  test.each([
    [[]],
    [["", "a", ""]],
    [["żółć", "id", "\ud800", "🙂🙂", "x".repeat(100)]],
    [Array.from({ length: 1000 }, (_, index) => `id-${index % 7}-${index}`)],
  ])("%#: come in pieces of any size", async (strings) => {
    const packed = packStrings(strings);
    for (const bytesMax of [1, 3, 4, 5, 64, 4096]) {
      const size = { count: packed.ends.length, bytes: bytesOf(packed) };
      const received = await fromPieces(size, (start) => {
        const piece = pieceOf(packed, start, bytesMax);
        expect(piece.length).toBeGreaterThan(0);
        expect(piece.length).toBeLessThanOrEqual(bytesMax);
        return Promise.resolve(piece);
      });
      expect(pageOf(received, 0, strings.length)).toEqual({
        ids: strings.map((string) => string.toWellFormed()),
        next: null,
      });
    }
  });
});

test("a list that is longer than a piece comes whole from a worker process", async () => {
  const directory = mkdtempSync(join(tmpdir(), "ostiary-"));
  try {
    const ids = Array.from({ length: 30_000 }, (_, index) => `org-${"x".repeat(40)}-${100_000 + index}`);
    const path = join(directory, "store-1.db");
    const source = `actor User {} resource Org { roles = ["member"]; permissions = ["read"]; "read" if "member"; }`;
    writeFile(
      path,
      source,
      ids.map((id) => fact("has_role", "User:ann", "String:member", `Org:${id}`)),
    );
    const engine = new Engine(openStore(path, { readonly: true }), { onServingThread: true });
    const queries = new QueryDispatcher(() => engine, defaultLimits);
    const question = { actor: { type: "User", id: "ann" }, action: "read", resourceType: "Org", contextFacts: [] };
    for (let round = 0; round < 2; round++) {
      const { ids: packed } = await queries.ask("listing", question, "holder");
      expect(bytesOf(packed)).toBeGreaterThan(answerPieceBytes);
      expect(pageOf(packed, 0, ids.length).ids).toEqual(ids);
    }
    // The next, short answer has its own ids.
    const other = await queries.ask("listing", { ...question, actor: { type: "User", id: "bob" } }, "holder");
    expect(pageOf(other.ids, 0, 10).ids).toEqual([]);
    engine.close();
  } finally {
    rmSync(directory, { recursive: true });
  }
}, 60_000);
