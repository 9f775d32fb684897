/** What the notes of a data directory let its node do, if its configuration says that it is the primary. */
import { expect, test } from "bun:test";
import {
  claimOf,
  hasPromotionNote,
  noteReplaced,
  noteReplica,
  wasReplica,
  writePromotionNote,
} from "../../src/replication/role-notes.ts";
import { writeNodeFile } from "../../src/store/directory/data-directory.ts";
import type { Epoch } from "../../src/store/log/epochs.ts";
import { firstTerm, nextFailoverTerm, nextStartTerm } from "../../src/store/log/terms.ts";
import { withDirectory } from "./cluster.ts";

const epochOf = (epoch: string, term: number): Epoch => ({ epoch, term, offset: 0, hash: "0", timeMs: 0 });
const own = epochOf("a", firstTerm);
const ownStart = epochOf("b", nextStartTerm(firstTerm));
const successor = epochOf("c", nextFailoverTerm(firstTerm));

const ledBy = (directory: string): void => {
  writeNodeFile(directory, "position", "a:3");
  writeNodeFile(directory, "role", "primary");
};

test("a node that was the last primary leads, and one whose directory was an edge's asks", () =>
  withDirectory(async (data) => {
    expect(claimOf(data, [own])).toBe("leads");
    noteReplica(data, "edge");
    expect(claimOf(data, [own])).toBe("asks");
    ledBy(data);
    expect(claimOf(data, [own])).toBe("leads");
    noteReplica(data, "edge");
    expect(claimOf(data, [own, ownStart])).toBe("asks");
    expect(claimOf(data, [own, successor])).toBe("follows");
    expect(claimOf(data, [successor])).toBe("follows");
  }));

test("a node that knows its successor follows, also before it has its events and in whatever role it runs", () =>
  withDirectory(async (data) => {
    ledBy(data);
    writePromotionNote(data);
    noteReplaced(data);
    expect(hasPromotionNote(data)).toBe(false);
    for (const role of ["edge", "fallback"] as const) {
      noteReplica(data, role);
      expect([claimOf(data, [own]), wasReplica(data)]).toEqual(["follows", true]);
    }
    // As after a promotion or a restore.
    ledBy(data);
    expect(claimOf(data, [own])).toBe("leads");
  }));
