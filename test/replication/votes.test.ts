/** When the vote of an edge for a candidate ends, and when it must not. */
import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { NodeHead } from "../../src/replication/transport/messages.ts";
import { Votes } from "../../src/replication/failover/votes.ts";
import { firstTerm, nextStartTerm, nextFailoverTerm } from "../../src/store/log/terms.ts";
import { withDirectory } from "./cluster.ts";

const present = { epoch: "1".repeat(16), term: nextFailoverTerm(firstTerm) };
const earlier = { epoch: "0".repeat(16), term: firstTerm };
const later = { epoch: "2".repeat(16), term: nextFailoverTerm(present.term) };
const asking = (node: string, token: string, force = false) => ({
  node,
  token,
  force,
  wanted: undefined,
  leased: false,
  ...present,
});

/** The relevant part of a node's head. */
const head = (node: string, candidacy: string | undefined, { epoch, term } = present): NodeHead =>
  ({ node, candidacy, e: epoch, n: term }) as NodeHead;

const withPledge = (body: (pledge: Votes, directory: string) => void): Promise<void> =>
  withDirectory(async (directory) => body(new Votes(directory), directory));

describe("a pledge", () => {
  test("survives a restart, and ends with a later epoch", () =>
    withPledge((pledge, directory) => {
      pledge.grant(asking("b", "1"));
      const again = new Votes(directory);
      expect(again.candidate).toBe("b");
      again.onEpoch(earlier);
      again.onEpoch(present);
      expect(again.candidate).toBe("b");
      again.onEpoch(later);
      expect(again.candidate).toBeUndefined();
      expect(new Votes(directory).candidate).toBeUndefined();
    }));

  test("survives another start of the old primary, until the candidate gives up", () =>
    withPledge((pledge) => {
      const restarted = { epoch: "9".repeat(16), term: nextStartTerm(present.term) };
      pledge.grant(asking("b", "1"));
      pledge.onEpoch(restarted);
      expect(pledge.candidate).toBe("b");
      pledge.onHeads([head("b", undefined, restarted)], pledge.granted);
      expect(pledge.candidate).toBeUndefined();
    }));

  test("ends with the candidate's own head, and not with the heads of others", () =>
    withPledge((pledge, directory) => {
      pledge.grant(asking("b", "1"));
      for (const said of [head("b", "1"), head("c", undefined), head("b", undefined, later)]) {
        pledge.onHeads([said], pledge.granted);
        expect(pledge.candidate).toBe("b");
      }
      pledge.onHeads([head("c", undefined), head("b", undefined)], pledge.granted);
      expect(pledge.candidate).toBeUndefined();
      expect(new Votes(directory).candidate).toBeUndefined();
    }));

  test("does not end with heads from before it was granted, nor with those of another attempt", () =>
    withPledge((pledge) => {
      pledge.grant(asking("b", "1"));
      const before = pledge.granted;
      pledge.grant(asking("b", "2"));
      pledge.onHeads([head("b", undefined)], before);
      expect(pledge.candidate).toBe("b");
      // The request of the first attempt came after that of the second.
      pledge.grant(asking("b", "1"));
      pledge.onHeads([head("b", "2")], pledge.granted);
      expect(pledge.candidate).toBe("b");
    }));

  test("with a lease is superseded only by a later lease, and stays so after a restart", () =>
    withPledge((pledge, directory) => {
      const leased = (node: string, wanted: number) => ({ ...asking(node, "1"), leased: true, wanted });
      const [first, second] = [nextFailoverTerm(present.term), nextFailoverTerm(nextFailoverTerm(present.term))];
      pledge.grant(leased("b", first));
      expect(() => pledge.grant(leased("c", first))).toThrow("it waits for the promotion of b");
      expect(() => pledge.grant(leased("b", first))).toThrow("has already promised the term");
      expect(() => pledge.grant(asking("c", "1"))).toThrow("it waits for the promotion of b");
      pledge.grant(leased("c", second));
      expect([pledge.candidate, pledge.promisedTerm, pledge.isBinding]).toEqual(["c", second, false]);
      const again = new Votes(directory);
      expect([again.candidate, again.promisedTerm]).toEqual(["c", second]);
      expect(() => again.grant(leased("b", first))).toThrow("it waits for the promotion of c");
    }));

  test("with a lease does not end with the epoch of a primary of an earlier lease, but with its own or a later one", () =>
    withPledge((pledge) => {
      const [first, second] = [nextFailoverTerm(present.term), nextFailoverTerm(nextFailoverTerm(present.term))];
      pledge.grant({ ...asking("b", "1"), leased: true, wanted: second });
      pledge.onEpoch({ epoch: "3".repeat(16), term: first });
      expect(pledge.candidate).toBe("b");
      pledge.onEpoch({ epoch: "4".repeat(16), term: second });
      expect(pledge.candidate).toBeUndefined();
    }));

  test("for an operator's promotion is superseded by no lease", () =>
    withPledge((pledge) => {
      pledge.grant(asking("b", "1"));
      const wanted = nextFailoverTerm(present.term);
      expect(() => pledge.grant({ ...asking("c", "1"), leased: true, wanted })).toThrow("waits for the promotion of b");
      expect(pledge.isBinding).toBe(true);
    }));

  test("is granted to one candidate; with force another one gets a vote too, and each ends by itself", () =>
    withPledge((pledge, directory) => {
      pledge.grant(asking("b", "1"));
      expect(() => pledge.grant(asking("c", "2"))).toThrow("it waits for the promotion of b");
      pledge.grant(asking("c", "3", true));
      pledge.onHeads([head("c", undefined)], pledge.granted);
      expect(pledge.candidate).toBe("b");
      expect(new Votes(directory).candidate).toBe("b");
      pledge.onHeads([head("b", undefined)], pledge.granted);
      expect(pledge.candidate).toBeUndefined();
    }));

  test.each(["{", "[]x", '[{"node":"b"}]', '{"node":"b"}'])("that cannot be read must not be forgotten: %s", (text) =>
    withDirectory(async (directory) => {
      writeFileSync(join(directory, "pledge"), text);
      expect(() => new Votes(directory)).toThrow(`\`${join(directory, "pledge")}\` cannot be read`);
    }),
  );
});
