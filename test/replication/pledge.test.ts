/** What an edge promises to one that is about to be promoted: when it ends, and when it must not. */
import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { NodeHead } from "../../src/replication/feed/envelope.ts";
import { Pledge } from "../../src/replication/succession/pledge.ts";
import { firstTerm, nextStart, nextSuccession } from "../../src/store/terms.ts";
import { withDirectory } from "./cluster.ts";

const present = { epoch: "1".repeat(16), term: nextSuccession(firstTerm) };
const earlier = { epoch: "0".repeat(16), term: firstTerm };
const later = { epoch: "2".repeat(16), term: nextSuccession(present.term) };
const asking = (node: string, token: string, force = false) => ({
  node,
  token,
  force,
  wanted: undefined,
  leased: false,
  ...present,
});

/** What a node says of itself, as far as it matters here. */
const head = (node: string, candidacy: string | undefined, { epoch, term } = present): NodeHead =>
  ({ node, candidacy, e: epoch, n: term }) as NodeHead;

const withPledge = (body: (pledge: Pledge, directory: string) => void): Promise<void> =>
  withDirectory(async (directory) => body(new Pledge(directory), directory));

describe("a pledge", () => {
  test("is kept over a restart, and ends with a later epoch", () =>
    withPledge((pledge, directory) => {
      pledge.give(asking("b", "1"));
      const again = new Pledge(directory);
      expect(again.to).toBe("b");
      again.moved(earlier);
      again.moved(present);
      expect(again.to).toBe("b");
      again.moved(later);
      expect(again.to).toBeUndefined();
      expect(new Pledge(directory).to).toBeUndefined();
    }));

  test("stands when the old primary is started again, until the node says that it is not about to be promoted", () =>
    withPledge((pledge) => {
      const restarted = { epoch: "9".repeat(16), term: nextStart(present.term) };
      pledge.give(asking("b", "1"));
      pledge.moved(restarted);
      expect(pledge.to).toBe("b");
      pledge.heard([head("b", undefined, restarted)], pledge.given);
      expect(pledge.to).toBeUndefined();
    }));

  test("ends when the node says that it is not about to be promoted, and not by what others say", () =>
    withPledge((pledge, directory) => {
      pledge.give(asking("b", "1"));
      for (const said of [head("b", "1"), head("c", undefined), head("b", undefined, later)]) {
        pledge.heard([said], pledge.given);
        expect(pledge.to).toBe("b");
      }
      pledge.heard([head("c", undefined), head("b", undefined)], pledge.given);
      expect(pledge.to).toBeUndefined();
      expect(new Pledge(directory).to).toBeUndefined();
    }));

  test("does not end by words from before it was given, nor by those of another attempt", () =>
    withPledge((pledge) => {
      pledge.give(asking("b", "1"));
      const before = pledge.given;
      pledge.give(asking("b", "2"));
      pledge.heard([head("b", undefined)], before);
      expect(pledge.to).toBe("b");
      // The request of the first attempt came after that of the second.
      pledge.give(asking("b", "1"));
      pledge.heard([head("b", "2")], pledge.given);
      expect(pledge.to).toBe("b");
    }));

  test("with a lease is superseded by a later lease and by nothing else, and that is kept over a restart", () =>
    withPledge((pledge, directory) => {
      const leased = (node: string, wanted: number) => ({ ...asking(node, "1"), leased: true, wanted });
      const [first, second] = [nextSuccession(present.term), nextSuccession(nextSuccession(present.term))];
      pledge.give(leased("b", first));
      expect(() => pledge.give(leased("c", first))).toThrow("it waits for the promotion of b");
      expect(() => pledge.give(leased("b", first))).toThrow("has promised the term");
      expect(() => pledge.give(asking("c", "1"))).toThrow("it waits for the promotion of b");
      pledge.give(leased("c", second));
      expect([pledge.to, pledge.term, pledge.isFirm]).toEqual(["c", second, false]);
      const again = new Pledge(directory);
      expect([again.to, again.term]).toEqual(["c", second]);
      expect(() => again.give(leased("b", first))).toThrow("it waits for the promotion of c");
    }));

  test("with a lease does not end with the epoch of a primary of an earlier lease, but with its own or a later one", () =>
    withPledge((pledge) => {
      const [first, second] = [nextSuccession(present.term), nextSuccession(nextSuccession(present.term))];
      pledge.give({ ...asking("b", "1"), leased: true, wanted: second });
      pledge.moved({ epoch: "3".repeat(16), term: first });
      expect(pledge.to).toBe("b");
      pledge.moved({ epoch: "4".repeat(16), term: second });
      expect(pledge.to).toBeUndefined();
    }));

  test("that an operator asked for is superseded by no lease", () =>
    withPledge((pledge) => {
      pledge.give(asking("b", "1"));
      const wanted = nextSuccession(present.term);
      expect(() => pledge.give({ ...asking("c", "1"), leased: true, wanted })).toThrow("waits for the promotion of b");
      expect(pledge.isFirm).toBe(true);
    }));

  test("is given to one; one with force gets another, and each ends by itself", () =>
    withPledge((pledge, directory) => {
      pledge.give(asking("b", "1"));
      expect(() => pledge.give(asking("c", "2"))).toThrow("it waits for the promotion of b");
      pledge.give(asking("c", "3", true));
      pledge.heard([head("c", undefined)], pledge.given);
      expect(pledge.to).toBe("b");
      expect(new Pledge(directory).to).toBe("b");
      pledge.heard([head("b", undefined)], pledge.given);
      expect(pledge.to).toBeUndefined();
    }));

  test.each(["{", "[]x", '[{"node":"b"}]', '{"node":"b"}'])(
    "that can't be read is none that may be forgotten: %s",
    (text) =>
      withDirectory(async (directory) => {
        writeFileSync(join(directory, "pledge"), text);
        expect(() => new Pledge(directory)).toThrow(`\`${join(directory, "pledge")}\` can't be read`);
      }),
  );
});
