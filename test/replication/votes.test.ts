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

const withVotes = (body: (votes: Votes, directory: string) => void): Promise<void> =>
  withDirectory(async (directory) => body(new Votes(directory), directory));

describe("a vote", () => {
  test("survives a restart, and ends with a later epoch", () =>
    withVotes((votes, directory) => {
      votes.grant(asking("b", "1"));
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
    withVotes((votes) => {
      const restarted = { epoch: "9".repeat(16), term: nextStartTerm(present.term) };
      votes.grant(asking("b", "1"));
      votes.onEpoch(restarted);
      expect(votes.candidate).toBe("b");
      votes.onHeads([head("b", undefined, restarted)], votes.granted);
      expect(votes.candidate).toBeUndefined();
    }));

  test("ends with the candidate's own head, and not with the heads of others", () =>
    withVotes((votes, directory) => {
      votes.grant(asking("b", "1"));
      for (const said of [head("b", "1"), head("c", undefined), head("b", undefined, later)]) {
        votes.onHeads([said], votes.granted);
        expect(votes.candidate).toBe("b");
      }
      votes.onHeads([head("c", undefined), head("b", undefined)], votes.granted);
      expect(votes.candidate).toBeUndefined();
      expect(new Votes(directory).candidate).toBeUndefined();
    }));

  test("does not end with heads from before it was granted, nor with those of another attempt", () =>
    withVotes((votes) => {
      votes.grant(asking("b", "1"));
      const before = votes.granted;
      votes.grant(asking("b", "2"));
      votes.onHeads([head("b", undefined)], before);
      expect(votes.candidate).toBe("b");
      // The request of the first attempt came after that of the second.
      votes.grant(asking("b", "1"));
      votes.onHeads([head("b", "2")], votes.granted);
      expect(votes.candidate).toBe("b");
    }));

  test("with a lease is superseded only by a later lease, and stays so after a restart", () =>
    withVotes((votes, directory) => {
      const leased = (node: string, wanted: number) => ({ ...asking(node, "1"), leased: true, wanted });
      const [first, second] = [nextFailoverTerm(present.term), nextFailoverTerm(nextFailoverTerm(present.term))];
      votes.grant(leased("b", first));
      expect(() => votes.grant(leased("c", first))).toThrow("it waits for the promotion of b");
      expect(() => votes.grant(leased("b", first))).toThrow("has already promised the term");
      expect(() => votes.grant(asking("c", "1"))).toThrow("it waits for the promotion of b");
      votes.grant(leased("c", second));
      expect([votes.candidate, votes.promisedTerm, votes.isBinding]).toEqual(["c", second, false]);
      const again = new Votes(directory);
      expect([again.candidate, again.promisedTerm]).toEqual(["c", second]);
      expect(() => again.grant(leased("b", first))).toThrow("it waits for the promotion of c");
    }));

  test("with a lease does not end with the epoch of a primary of an earlier lease, but with its own or a later one", () =>
    withVotes((votes) => {
      const [first, second] = [nextFailoverTerm(present.term), nextFailoverTerm(nextFailoverTerm(present.term))];
      votes.grant({ ...asking("b", "1"), leased: true, wanted: second });
      votes.onEpoch({ epoch: "3".repeat(16), term: first });
      expect(votes.candidate).toBe("b");
      votes.onEpoch({ epoch: "4".repeat(16), term: second });
      expect(votes.candidate).toBeUndefined();
    }));

  test("for an operator's promotion is superseded by no lease", () =>
    withVotes((votes) => {
      votes.grant(asking("b", "1"));
      const wanted = nextFailoverTerm(present.term);
      expect(() => votes.grant({ ...asking("c", "1"), leased: true, wanted })).toThrow("waits for the promotion of b");
      expect(votes.isBinding).toBe(true);
    }));

  test("is granted to one candidate; with force another one gets a vote too, and each ends by itself", () =>
    withVotes((votes, directory) => {
      votes.grant(asking("b", "1"));
      expect(() => votes.grant(asking("c", "2"))).toThrow("it waits for the promotion of b");
      votes.grant(asking("c", "3", true));
      votes.onHeads([head("c", undefined)], votes.granted);
      expect(votes.candidate).toBe("b");
      expect(new Votes(directory).candidate).toBe("b");
      votes.onHeads([head("b", undefined)], votes.granted);
      expect(votes.candidate).toBeUndefined();
    }));

  test.each(["{", "[]x", '[{"node":"b"}]', '{"node":"b"}'])("that cannot be read must not be forgotten: %s", (text) =>
    withDirectory(async (directory) => {
      writeFileSync(join(directory, "pledge"), text);
      expect(() => new Votes(directory)).toThrow(`\`${join(directory, "pledge")}\` cannot be read`);
    }),
  );
});
